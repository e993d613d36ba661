"""Settings of a process that handles large images again and again, beside a network that needs the cores."""

from __future__ import annotations

import ctypes
import os
import sys

import cv2

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # malloc.h
_MB = 1 << 20
_TURN = 0.0001  # seconds after which a thread that computes in Python gives way to another that wants to


def tune_process() -> None:
    """Keep the memory that images leave behind, OpenCV to the thread that calls it, and turns between threads short.

    By default glibc gives every image's memory back to the system, which then clears 6 MB for the next: with page
    faults that is as much work as decoding a JPEG (`benchmarks/node.py` without this call). What is kept is bounded.
    OpenCV's own threads gain nothing on what is asked of them here, and would wait actively on cores that the network
    uses. Tracking lets go of Python's lock many times an image; each time a thread that draws for viewers would keep it
    for 5 ms by default, and tracks came 45 ms later.
    """
    cv2.setNumThreads(1)
    sys.setswitchinterval(_TURN)
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:  # glibc alone has it
        mallopt(_M_MMAP_THRESHOLD, 32 * _MB)  # the largest it takes
        mallopt(_M_TRIM_THRESHOLD, 128 * _MB)


def choose_gpu(index: int) -> None:
    """Have this process see one GPU alone, counted from 0 as nvidia-smi does; -1 leaves all as they are.

    Where ``CUDA_VISIBLE_DEVICES`` is set, as in containers, it is one of those; set to nothing, it hides all. To be
    called before anything asks for a GPU: CUDA looks at its environment once. One that is not there is none at all.
    """
    if index < 0:
        return
    given, chosen = os.environ.get("CUDA_VISIBLE_DEVICES"), str(index)
    if given is not None:
        visible = [one.strip() for one in given.split(",") if one.strip()]
        chosen = visible[index] if index < len(visible) else "-1"
    os.environ["CUDA_DEVICE_ORDER"] = "PCI_BUS_ID"
    os.environ["CUDA_VISIBLE_DEVICES"] = chosen
