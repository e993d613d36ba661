"""The GPU as its driver tells of it, by libraries compiled here that answer as NVIDIA's do."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from qdtrack_model.runtimes import gpu

CUDA = r"""
#include <string.h>
int cuInit(unsigned flags) { return flags; }
int cuDeviceGet(int *device, int ordinal) { *device = 7; return ordinal; }
int cuDeviceGetName(char *name, int size, int device) { strncpy(name, "Imagined", size); return device != 7; }
int cuDeviceGetAttribute(int *value, int attribute, int device) { *value = attribute; return device != 7; }
int cuDriverGetVersion(int *version) { *version = 13000; return 0; }
int cuDeviceGetPCIBusId(char *bus, int size, int device) { strncpy(bus, "0000:65:00.0", size); return device != 7; }
"""
NVML = r"""
#include <string.h>
typedef struct { unsigned long long total, free, used; } memory;
static int device;
int nvmlInit_v2(void) { return 0; }
int nvmlDeviceGetHandleByPciBusId_v2(const char *bus, void **handle) {
    *handle = &device;
    return strcmp(bus, "0000:65:00.0");
}
int nvmlDeviceGetMemoryInfo(void *handle, memory *info) {
    info->total = 25000000000ULL; info->free = 20000000000ULL; info->used = 5000000000ULL;
    return handle != &device;
}
"""
PROGRAM = "from qdtrack_model.runtimes import gpu; print(gpu.find(), gpu.memory(), gpu.memory())"


@pytest.mark.skipif(shutil.which("gcc") is None, reason="needs gcc")
@pytest.mark.parametrize(
    ("libraries", "told"),
    [
        (("cuda", "nvidia-ml"), "(5000000000, 25000000000) (5000000000, 25000000000)"),
        (("cuda",), "None None"),  # as on Jetsons of old
    ],
)
def test_memory_is_asked_of_the_first_gpu(tmp_path: Path, libraries: tuple[str, ...], told: str) -> None:
    for name in libraries:
        source = tmp_path / f"{name}.c"
        source.write_text(CUDA if name == "cuda" else NVML)
        target = tmp_path / f"lib{name}.so.1"
        subprocess.run(["gcc", "-shared", "-fPIC", "-o", target, source], check=True)
    if "nvidia-ml" not in libraries:
        (tmp_path / "libnvidia-ml.so.1").write_text("no library")
    path = os.pathsep.join([str(tmp_path), os.environ.get("LD_LIBRARY_PATH", "")])
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env={**os.environ, "LD_LIBRARY_PATH": path},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == f"Gpu(name='Imagined', capability=(75, 76), driver=13000, multiprocessors=16) {told}"


def test_a_real_gpu_tells_what_it_holds() -> None:
    if gpu.find() is None:
        assert gpu.memory() is None
        return
    memory = gpu.memory()
    assert memory is None or 0 < memory[0] < memory[1]
