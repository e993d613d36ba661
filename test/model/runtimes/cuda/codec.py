"""nvImageCodec without a GPU: OpenCV decodes, into memory of the :class:`Driver` with rows that are padded.

Names and arguments are those of nvImageCodec 0.9.
"""

from __future__ import annotations

import ctypes
import sys
from enum import Enum
from types import ModuleType, SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest

from .driver import Driver

BackendKind = Enum("BackendKind", ["HW_GPU_ONLY", "GPU_ONLY", "HYBRID_CPU_GPU", "CPU_ONLY"])
ALIGNMENT = 256


class CodeStream:
    def __init__(self, content: bytes) -> None:
        assert isinstance(content, bytes)
        self.content = content


class Image:
    """Frees its memory when nobody has it any more."""

    def __init__(self, driver: Driver, pixels: np.ndarray[Any, Any], padded: bool) -> None:
        height, width, _ = pixels.shape
        self.driver, row = driver, -(-3 * width // ALIGNMENT) * ALIGNMENT if padded else 3 * width
        _, self.address = driver.cudaMalloc(height * row - (row - 3 * width))
        self.rows, self.row = [pixels[index].tobytes() for index in range(height)], row
        strides = (row, 3, 1) if padded else None
        self.__cuda_array_interface__ = {
            "data": (self.address, False), "shape": pixels.shape, "strides": strides, "typestr": "|u1", "version": 3,
        }  # fmt: skip

    def write(self) -> None:
        for index, row in enumerate(self.rows):
            ctypes.memmove(self.address + index * self.row, row, len(row))

    def __del__(self) -> None:
        self.driver.cudaFree(self.address)


class Codec(ModuleType):
    """Stands in for the module ``nvidia.nvimgcodec``.

    Args:
        patch: puts it there.
        driver: has the memory.

    Attributes:
        padded: whether rows end at multiples of 256 bytes.
        wrong: by how many grey levels it decodes otherwise than OpenCV.
        answer: ``picture``, or what it does instead: ``none``, ``raises``, ``broken``, ``old``.
        decoded: how many pictures.
    """

    def __init__(self, patch: pytest.MonkeyPatch, driver: Driver) -> None:
        super().__init__("nvimgcodec")
        self.padded, self.wrong, self.answer, self.decoded = True, 0, "picture", 0
        codec = self
        self.CodeStream, self.BackendKind = CodeStream, BackendKind
        self.Backend = lambda backend_kind: backend_kind
        self.ColorSpec, self.SampleFormat = SimpleNamespace(SRGB="sRGB"), SimpleNamespace(I_BGR="BGR")

        class DecodeParams:
            def __init__(self, *, apply_exif_orientation: bool, color_spec: str, sample_format: str) -> None:
                assert (apply_exif_orientation, color_spec, sample_format) == (False, "sRGB", "BGR")

        class Decoder:
            def __init__(self, device_id: int, max_num_cpu_threads: int, backends: list[Any], options: str) -> None:
                assert (device_id, max_num_cpu_threads) == (0, 1) and BackendKind.CPU_ONLY not in backends
                assert options == ":fancy_upsampling=1 nvjpeg_cuda_decoder:hybrid_huffman_threshold=0"
                if codec.answer == "old":
                    raise TypeError("__init__(): incompatible constructor arguments")
                if codec.answer == "broken":
                    raise RuntimeError("CUDA Runtime failure: '#35'\nmore")

            def decode(self, src: CodeStream, *, params: DecodeParams, cuda_stream: int = 0) -> Image | None:
                if codec.answer == "raises":
                    raise RuntimeError("nvJPEG: status 6")
                pixels = cv2.imdecode(np.frombuffer(src.content, np.uint8), cv2.IMREAD_COLOR)
                if pixels is None or codec.answer == "none":
                    return None
                image = Image(driver, pixels + np.uint8(codec.wrong), codec.padded)
                driver.enqueue(cuda_stream, image.write)
                codec.decoded += 1
                return image

        self.DecodeParams, self.Decoder = DecodeParams, Decoder
        patch.setitem(sys.modules, "nvidia.nvimgcodec", self)
