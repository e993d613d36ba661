from __future__ import annotations

import fcntl
import json
import logging
import multiprocessing
import os
import tempfile
import threading
import time
from pathlib import Path

import pytest

from qdtrack_model.cache import CacheError, cache_folder, fault, keep, manifest_path, read_manifest

IDENTITY = {"weights": "abc", "batch": 1}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("QDTRACK_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def write(path: Path) -> None:
    path.write_bytes(b"engine")


def unwanted(path: Path) -> None:
    raise AssertionError("built again")


def test_a_file_is_built_once_and_its_manifest_says_from_what(folder: Path) -> None:
    path = keep("street", ".engine", IDENTITY, write)
    assert path.parent == folder and path.name.startswith("street-") and path.read_bytes() == b"engine"
    assert keep("street", ".engine", IDENTITY, unwanted) == path
    manifest = read_manifest(path)
    assert manifest is not None and manifest["identity"] == IDENTITY and manifest["bytes"] == 6


def test_another_identity_is_another_file() -> None:
    first = keep("street", ".engine", IDENTITY, write)
    assert keep("street", ".engine", {**IDENTITY, "batch": 2}, write) != first


@pytest.mark.parametrize(
    ("harm", "reason"),
    [
        (lambda path: path.write_bytes(b"eng"), "has 3 bytes, expected 6: cut off"),
        (lambda path: path.write_bytes(b"ENGINE"), "not what was written: damaged"),
        (lambda path: manifest_path(path).unlink(), "manifest is missing or unreadable"),
        (lambda path: manifest_path(path).write_text("{"), "manifest is missing or unreadable"),
        (lambda path: manifest_path(path).write_text("[]"), "manifest is missing or unreadable"),
        (
            lambda path: manifest_path(path).write_text(json.dumps({"identity": {"weights": "old", "batch": 1}})),
            "built for something else: weights 'old' instead of 'abc'",
        ),
    ],
    ids=["truncated", "damaged", "no manifest", "broken manifest", "another kind of manifest", "stale"],
)
def test_what_is_not_as_written_is_built_again(harm, reason: str, caplog: pytest.LogCaptureFixture) -> None:
    path = keep("street", ".engine", IDENTITY, write)
    harm(path)
    assert keep("street", ".engine", IDENTITY, write).read_bytes() == b"engine"
    assert reason in caplog.text
    assert fault(path, IDENTITY) is None


def test_a_build_that_fails_leaves_nothing(folder: Path) -> None:
    def fail(path: Path) -> None:
        path.write_bytes(b"half")
        raise ValueError("no such layer")

    with pytest.raises(ValueError, match="no such layer"):
        keep("street", ".engine", IDENTITY, fail)
    assert [path.suffix for path in folder.iterdir()] == [".lock"]


def test_what_a_killed_build_left_is_cleared_away(folder: Path) -> None:
    path = keep("street", ".engine", IDENTITY, write)
    manifest_path(path).unlink()
    for left in (f".{path.name}-abc", f".{path.name}.json-abc", f".{path.name[:-7]}-of-another-abc"):
        (folder / left).mkdir()
        (folder / left / "half").write_bytes(b"half")
    keep("street", ".engine", IDENTITY, write)
    assert [one.name for one in folder.iterdir() if one.is_dir()] == [f".{path.name[:-7]}-of-another-abc"]


def test_who_waits_says_so(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = keep("street", ".engine", IDENTITY, write)
    with (folder / f"{path.name}.lock").open("w") as lock, caplog.at_level(logging.INFO):
        fcntl.flock(lock, fcntl.LOCK_EX)
        waiting = threading.Thread(target=keep, args=("street", ".engine", IDENTITY, unwanted))
        waiting.start()
        while not caplog.messages:
            time.sleep(0.01)
        fcntl.flock(lock, fcntl.LOCK_UN)
        waiting.join(60)
    assert caplog.messages == [f"waiting for another process, which is making {path.name}"]


def build_slowly(path: Path) -> None:
    with (cache_folder().parent / "builds").open("a") as log:
        log.write("built\n")
    time.sleep(0.3)
    write(path)


def test_two_processes_build_once(folder: Path) -> None:
    processes = [
        multiprocessing.get_context("fork").Process(target=keep, args=("street", ".engine", IDENTITY, build_slowly))
        for _ in range(2)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
        assert process.exitcode == 0
    assert (folder.parent / "builds").read_text() == "built\n"


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("QDTRACK_CACHE", str(tmp_path / "file"))
    with pytest.raises(CacheError, match="set QDTRACK_CACHE to a folder that can be written"):
        keep("street", ".engine", IDENTITY, write)


def test_a_full_disk_is_named() -> None:
    def fill(path: Path) -> None:
        with open("/dev/full", "wb", buffering=0) as full:
            full.write(b"x")

    with pytest.raises(CacheError, match=r"No space left on device.*free some space"):
        keep("street", ".engine", IDENTITY, fill)


def use_read_only(path: Path) -> None:
    if os.geteuid() == 0:
        os.setuid(65534)  # root may write everywhere
    assert keep("street", ".engine", IDENTITY, unwanted) == path
    with pytest.raises(CacheError, match=r"Permission denied.*set QDTRACK_CACHE to a folder that can be written"):
        keep("other", ".engine", IDENTITY, write)


def test_a_read_only_folder_still_serves_what_was_built(monkeypatch: pytest.MonkeyPatch) -> None:
    with tempfile.TemporaryDirectory() as parent:  # pytest's own folders cannot be entered by other users
        Path(parent).chmod(0o755)
        monkeypatch.setenv("QDTRACK_CACHE", f"{parent}/cache")
        path = keep("street", ".engine", IDENTITY, write)
        path.parent.chmod(0o555)
        process = multiprocessing.get_context("fork").Process(target=use_read_only, args=(path,))
        process.start()
        process.join(60)
        path.parent.chmod(0o755)
    assert process.exitcode == 0
