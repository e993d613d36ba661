"""Public weights, fetched on first use: transferred, checked against their name, converted, kept in the cache.

What is transferred is checked by the eight hexadecimal digits in the file's name, which find damage, not malice: it is
read weights-only, as every file from elsewhere. A transfer that breaks off goes on where it stopped; a file that is
not what its name says is thrown away. Two processes that want the same fetch it once.
"""

from __future__ import annotations

import logging
import time
from pathlib import Path
from typing import TYPE_CHECKING

from qdtrack_model.cache import Identity, cache_folder, keep, manifest_path, path_of, sha256
from qdtrack_model.checkpoints.catalogue import ADDRESS_VARIABLE, PublicWeights
from qdtrack_model.checkpoints.files import FORMAT
from qdtrack_model.checkpoints.presets import read_preset
from qdtrack_model.checkpoints.public import convert_file
from qdtrack_model.checkpoints.tensors import CheckpointError

if TYPE_CHECKING:
    from requests import RequestException, Response

log = logging.getLogger(__name__)

SUFFIX = ".safetensors"
TIMEOUT = 30.0  # seconds of silence after which a server is given up
TELL_EVERY = 10.0  # seconds between two lines on how far it is
BLOCK = 1 << 18
PARTIAL_CONTENT, NOT_FOUND, RANGE_NOT_SATISFIABLE = 206, 404, 416  # statuses of HTTP


class FetchError(CheckpointError):
    """Public weights that cannot be had now; the text says why and what to do."""


def fetch(name: str, public: PublicWeights) -> Path:
    """The converted weights in the cache, fetched where they are not there yet.

    Args:
        name: what they are called, for people and for the file's name.
        public: where they are and what they are.

    Raises:
        FetchError: they cannot be reached, or what comes is not what was published.
        CheckpointError: they are as published and cannot be converted.
        CacheError: the cache folder cannot be written, or is full.
    """
    return keep(name, SUFFIX, _identity(public), lambda path: _make(name, public, path))


def cached(name: str, public: PublicWeights) -> Path | None:
    """The converted weights in the cache, or None where they have not been fetched."""
    path = path_of(name, SUFFIX, _identity(public))
    return path if path.is_file() and manifest_path(path).is_file() else None


def _identity(public: PublicWeights) -> Identity:
    """The published file alone, not the preset: a robot that is offline keeps its weights when this code is updated."""
    return {"published": public.file, "format": FORMAT}


def _make(name: str, public: PublicWeights, output: Path) -> None:
    download = cache_folder() / f"{public.file}.partial"
    try:
        url = _download(name, public, download)
        log.info("weights %s: converting", name)
        origin = {"converted_from": url, "preset": public.preset}
        convert_file(download, read_preset(public.preset), output, origin, public.classes)
    except FetchError:
        raise  # what has come so far is gone on with next time
    except Exception:
        download.unlink(missing_ok=True)  # a full disk gets its space back
        raise
    download.unlink()
    log.info("weights %s: kept in %s", name, cache_folder())


def _download(name: str, public: PublicWeights, download: Path) -> str:
    """Bring the published file to ``download``, whole and as its name says; the address it has."""
    if download.is_file() and sha256(download).startswith(public.digest):
        return public.urls[0]  # only its conversion was interrupted
    url = next((url for url in public.urls if _transfer(name, url, download)), None)
    if url is None:
        raise _failure(name, " and ".join(public.urls), f"not there (HTTP {NOT_FOUND})")
    found = sha256(download)
    if not found.startswith(public.digest):
        download.unlink()
        raise _failure(name, url, f"not the published file: its SHA-256 begins with {found[:8]}, not {public.digest}")
    return url


def _transfer(name: str, url: str, download: Path) -> bool:
    """Write what ``url`` answers to ``download``, after what is there already where the server can; False for a 404."""
    import requests

    size = download.stat().st_size if download.is_file() else 0
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={size}-"} if size else {})
    try:
        with requests.get(url, headers=headers, stream=True, timeout=TIMEOUT) as answer:
            if answer.status_code == NOT_FOUND:
                return False
            if answer.status_code != RANGE_NOT_SATISFIABLE:
                _receive(name, answer, download)
                return True
    except requests.RequestException as error:
        raise _failure(name, url, _cause(error)) from None
    download.unlink()  # as long as the published file or longer, and another one
    return _transfer(name, url, download)


def _receive(name: str, answer: Response, download: Path) -> None:
    """Write the body of an answer to ``download``."""
    if not answer.ok:
        raise _failure(name, answer.url, f"HTTP {answer.status_code} {answer.reason}")
    if answer.headers.get("Content-Type", "").startswith("text/html"):
        raise _failure(name, answer.url, "the answer is a web page: a proxy or a login in between?")
    resumed = answer.status_code == PARTIAL_CONTENT
    told = time.monotonic()
    with download.open("ab" if resumed else "wb") as file:
        expected = file.tell() + int(answer.headers.get("Content-Length", 0))
        log.info("weights %s: fetching %s, %s, once", name, answer.url, _progress(file.tell(), expected))
        for block in answer.iter_content(BLOCK):
            file.write(block)
            if time.monotonic() - told > TELL_EVERY:
                told = time.monotonic()
                log.info("weights %s: %s", name, _progress(file.tell(), expected))
        if file.tell() < expected:  # older versions of urllib3 do not say so
            raise _failure(name, answer.url, f"broken off, {_progress(file.tell(), expected)}")


def _progress(size: int, expected: int) -> str:
    return f"{size / 1e6:.1f} of {expected / 1e6:.1f} MB"


def _failure(name: str, where: str, why: str) -> FetchError:
    return FetchError(
        f"weights {name!r} cannot be fetched from {where}: {why}; try again, name a mirror by {ADDRESS_VARIABLE}, or "
        f"give the file that `qdtrack weights fetch {name} --output FILE` writes on another machine"
    )


def _cause(error: RequestException) -> str:
    """What went wrong in the first place: requests and urllib3 wrap it several times."""
    cause: BaseException = error
    while (inner := cause.__cause__ or cause.__context__) is not None:
        cause = inner
    return str(cause).strip() or type(cause).__name__
