"""What NVIDIA GPU is here and how full it is, asked of its driver alone: no torch and no CUDA toolkit are needed."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from functools import cache

# CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR and _MINOR, CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT
_CAPABILITY_MAJOR, _CAPABILITY_MINOR, _MULTIPROCESSORS = 75, 76, 16


@dataclass(frozen=True)
class Gpu:
    """The first GPU.

    Attributes:
        name: as its driver calls it; those of all Jetsons of a generation may be the same.
        capability: compute capability (major, minor).
        driver: CUDA version of its driver: 12060 for 12.6.
        multiprocessors: how many it has.
    """

    name: str
    capability: tuple[int, int]
    driver: int
    multiprocessors: int

    @property
    def compute(self) -> str:
        """The compute capability as NVIDIA writes it: ``8.9``."""
        return f"{self.capability[0]}.{self.capability[1]}"

    def identity(self) -> dict[str, str | int | list[int] | None]:
        """What a file depends on that is good for this GPU and driver alone, for the cache."""
        return {
            "gpu": self.name, "multiprocessors": self.multiprocessors, "driver": self.driver,
            "capability": self.compute,
        }  # fmt: skip


@cache
def find() -> Gpu | None:
    """The first GPU, or None where there is no driver or no GPU (``CUDA_VISIBLE_DEVICES`` counts)."""
    try:
        cuda = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return None
    device, major, minor, count, driver = (ctypes.c_int() for _ in range(5))
    name = ctypes.create_string_buffer(256)
    calls = (
        lambda: cuda.cuInit(0),
        lambda: cuda.cuDeviceGet(ctypes.byref(device), 0),
        lambda: cuda.cuDeviceGetName(name, len(name), device),
        lambda: cuda.cuDeviceGetAttribute(ctypes.byref(major), _CAPABILITY_MAJOR, device),
        lambda: cuda.cuDeviceGetAttribute(ctypes.byref(minor), _CAPABILITY_MINOR, device),
        lambda: cuda.cuDeviceGetAttribute(ctypes.byref(count), _MULTIPROCESSORS, device),
        lambda: cuda.cuDriverGetVersion(ctypes.byref(driver)),
    )
    if any(call() for call in calls):  # each gives 0 when all is well
        return None
    return Gpu(name.value.decode(errors="replace"), (major.value, minor.value), driver.value, count.value)


class _Memory(ctypes.Structure):
    """``nvmlMemory_t`` [bytes]."""

    _fields_ = (("total", ctypes.c_ulonglong), ("free", ctypes.c_ulonglong), ("used", ctypes.c_ulonglong))


def memory() -> tuple[int, int] | None:
    """Bytes of the first GPU's memory that are in use, by whichever process, and in all.

    None where there is no GPU, or where its driver does not tell, as on Jetsons, whose GPU has no memory of its own.
    """
    device = _managed()
    held = _Memory()
    if device is None or device[0].nvmlDeviceGetMemoryInfo(device[1], ctypes.byref(held)):
        return None
    return held.used, held.total


@cache
def _managed() -> tuple[ctypes.CDLL, ctypes.c_void_p] | None:
    """NVML, which needs no CUDA context and so no GPU memory of its own, and the first GPU in it."""
    if find() is None:
        return None
    cuda = ctypes.CDLL("libcuda.so.1")
    try:
        nvml = ctypes.CDLL("libnvidia-ml.so.1")
    except OSError:
        return None
    device, handle, bus = ctypes.c_int(), ctypes.c_void_p(), ctypes.create_string_buffer(32)
    calls = (
        lambda: cuda.cuDeviceGet(ctypes.byref(device), 0),
        lambda: cuda.cuDeviceGetPCIBusId(bus, len(bus), device),  # the order of NVML's GPUs is another one
        lambda: nvml.nvmlInit_v2(),
        lambda: nvml.nvmlDeviceGetHandleByPciBusId_v2(bus, ctypes.byref(handle)),
    )
    return None if any(call() for call in calls) else (nvml, handle)
