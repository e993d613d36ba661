"""JPEGs decoded on the GPU, by nvJPEG through nvImageCodec, where that is installed."""

from __future__ import annotations

import contextlib
import importlib
import logging
import os
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from qdtrack_model.runtimes.cuda.calls import call
from qdtrack_model.runtimes.cuda.memory import Buffer
from qdtrack_model.runtimes.cuda.stream import Stream
from qdtrack_model.runtimes.interface import RuntimeUnavailable
from qdtrack_model.structures import Array

log = logging.getLogger(__name__)

_PICTURE = Path(__file__).parents[1] / "street.jpg"
# Grey levels in the mean: decoders round, and spread colours, differently by about one.
_TOLERANCE = 2.0
_KEPT = 1 << 28  # bytes of decoded pictures: forty of 1080p


@dataclass(frozen=True, eq=False)
class GpuPicture:
    """A picture on the GPU, (H, W, 3) uint8 BGR.

    Args:
        device: its address.
        shape: as above.
        row: bytes from row to row.
        owner: what frees it.
    """

    device: int
    shape: tuple[int, int, int]
    row: int
    owner: object
    dtype = np.dtype(np.uint8)


class JpegDecoder:
    """nvImageCodec's decoder, with what it takes to give what OpenCV gives; threads take turns.

    Raises:
        ImportError: nvImageCodec is not installed.
        RuntimeError: it cannot start.
        TypeError, AttributeError: it is too old.
    """

    def __init__(self) -> None:
        os.environ.setdefault("PYNVIMGCODEC_VERBOSITY", "0")  # it writes past our log, again for each picture
        codec: Any = importlib.import_module("nvidia.nvimgcodec")
        kinds = codec.BackendKind
        self._codec, self._turn = codec, threading.Lock()
        self._decoder = codec.Decoder(
            device_id=0,
            backends=[codec.Backend(kind) for kind in (kinds.HW_GPU_ONLY, kinds.GPU_ONLY, kinds.HYBRID_CPU_GPU)],
            max_num_cpu_threads=1,  # one picture at a time
            # Colours between their samples are interpolated, as libjpeg does; no part of small pictures is decoded by
            # the processor.
            options=":fancy_upsampling=1 nvjpeg_cuda_decoder:hybrid_huffman_threshold=0",
        )
        self._how = codec.DecodeParams(
            apply_exif_orientation=False, color_spec=codec.ColorSpec.SRGB, sample_format=codec.SampleFormat.I_BGR
        )

    def __call__(self, content: bytes, stream: int) -> GpuPicture | None:
        """Decode a colour JPEG; the picture is there for what is enqueued in a stream, by its handle, from now on.

        None where nvJPEG does not decode it, for whatever reason.
        """
        try:
            with self._turn:
                image = self._decoder.decode(self._codec.CodeStream(content), params=self._how, cuda_stream=stream)
        except (RuntimeError, ValueError) as error:
            log.debug("a JPEG is decoded by the processor: %s", error)
            return None
        if image is None:
            return None
        memory = image.__cuda_array_interface__
        height, width, channels = memory["shape"]
        strides = memory.get("strides") or (width * channels, channels, 1)
        if channels != 3 or memory["typestr"] != "|u1" or tuple(strides[1:]) != (3, 1):
            return None
        return GpuPicture(int(memory["data"][0]), (int(height), int(width), 3), int(strides[0]), image)


def decoder(stream: Stream) -> JpegDecoder | None:
    """A decoder that does as OpenCV's, within roundings; None where there is none here, and the log says why."""
    try:
        made = JpegDecoder()
        _keep_memory()
        _compare(made, stream)
    except (ImportError, RuntimeError, TypeError, AttributeError) as error:  # the last two of versions before 0.9
        reason = "nvImageCodec is not installed" if isinstance(error, ImportError) else str(error).splitlines()[0]
        log.info("JPEGs are decoded by the processor, which takes it milliseconds each: %s", reason)
        return None
    return made


def _keep_memory() -> None:
    """Have the GPU's driver keep the memory of pictures that are gone for those to come."""
    from cuda.bindings import driver, runtime

    pool = call("its pool of memory", "cudaDeviceGetDefaultMemPool", 0)
    attribute = runtime.cudaMemPoolAttr.cudaMemPoolAttrReleaseThreshold
    call("to keep memory", "cudaMemPoolSetAttribute", pool, attribute, driver.cuuint64_t(_KEPT))


def _compare(made: JpegDecoder, stream: Stream) -> None:
    """Raise RuntimeUnavailable where it does not decode as OpenCV does."""
    content = _PICTURE.read_bytes()
    expected = np.asarray(cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR))
    found = made(content, stream.handle)
    if found is None or found.shape != expected.shape:
        raise RuntimeUnavailable(f"nvJPEG does not decode {_PICTURE.name}, a picture of ours")
    difference = float(np.abs(_pixels(found, stream).astype(int) - expected).mean())
    if difference > _TOLERANCE:
        raise RuntimeUnavailable(f"nvJPEG decodes otherwise than OpenCV, by {difference:.1f} grey levels in the mean")


def _pixels(picture: GpuPicture, stream: Stream) -> Array:
    """The same in host memory."""
    height, width, _ = picture.shape
    with contextlib.closing(Buffer("a picture", (height, picture.row), np.dtype(np.uint8))) as buffer:
        last = (height - 1) * picture.row + 3 * width  # the last row may come without its padding
        stream.copy(buffer.device, picture.device, last)
        stream.download(buffer)
        stream.synchronize()
        return buffer.array[:, : 3 * width].reshape(height, width, 3).copy()
