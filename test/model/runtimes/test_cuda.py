"""Which cuda-bindings suit which driver. What they do is in test_engine.py."""

from __future__ import annotations

import importlib.metadata

import pytest

from qdtrack_model.runtimes import cuda
from qdtrack_model.runtimes.interface import release


@pytest.mark.parametrize(
    ("driver", "installed", "told"),
    [
        (13000, "13.5.0", None),
        (13000, "12.9.4", None),  # drivers serve what was made for older ones
        (12060, "12.9.4", None),
        (12060, "13.5.0", "cuda-bindings 13.5.0 needs a newer driver than the one here, of CUDA 12.6: pip install"),
        (12060, None, 'cuda-bindings is not installed: pip install "cuda-bindings>=12.9.1,<13"'),
        (13000, None, 'cuda-bindings is not installed: pip install "cuda-bindings>=13,<14"'),
    ],
)
def test_bindings_are_of_the_drivers_cuda_or_older(
    monkeypatch: pytest.MonkeyPatch, driver: int, installed: str | None, told: str | None
) -> None:
    def version(name: str) -> str:
        if installed is None:
            raise importlib.metadata.PackageNotFoundError(name)
        return installed

    monkeypatch.setattr(importlib.metadata, "version", version)
    missing = cuda.missing(driver)
    assert missing is None if told is None else missing is not None and missing.startswith(told)


@pytest.mark.parametrize(
    ("version", "expected"), [("10.3.0", (10, 3)), ("10.16", (10, 16)), ("2.13.0+cpu", (2, 13)), ("8.6.1.6", (8, 6))]
)
def test_versions_are_compared_as_numbers(version: str, expected: tuple[int, int]) -> None:
    assert release(version) == expected
    with pytest.raises(ValueError, match="got 'unknown', expected numbers such as"):
        release("unknown")
