"""Images fitted into the network's input on the GPU: raw pixels go there, and the processor is spared the resizing."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, cached_property, lru_cache
from pathlib import Path

import numpy as np

from qdtrack_model.config import ModelConfig
from qdtrack_model.fitting import Letterbox, Preprocessor, check_image, plan
from qdtrack_model.runtimes import gpu
from qdtrack_model.runtimes.cuda.calls import CudaError, call, free
from qdtrack_model.runtimes.cuda.jpeg import GpuPicture, JpegDecoder, decoder
from qdtrack_model.runtimes.cuda.kernel import ADDRESS, NUMBER, Kernel, compiled
from qdtrack_model.runtimes.cuda.memory import Buffer, Memory
from qdtrack_model.runtimes.cuda.stream import Event, Stream, copy
from qdtrack_model.runtimes.interface import RuntimeUnavailable
from qdtrack_model.structures import Array

log = logging.getLogger(__name__)

_SOURCE = Path(__file__).with_name("resize.cu")
_PARTS = 2048  # of a pixel, as OpenCV counts
_UINT8, _MIXES = np.dtype(np.uint8), np.dtype((np.int32, 4))


def preprocessor(config: ModelConfig) -> Preprocessor | GpuPreprocessor:
    """What fits images in for a network on the GPU: the GPU too, where it does so as OpenCV, else the processor."""
    on_cpu, found = Preprocessor(config), gpu.find()
    if found is None:
        return on_cpu
    try:
        on_gpu = GpuPreprocessor(config, found.compute)
        try:
            _compare(on_gpu, on_cpu)
        except BaseException:
            on_gpu.close()
            raise
    except (ImportError, CudaError, RuntimeUnavailable) as error:
        log.info("images are fitted in by the processor, which takes it about a millisecond each: %s", error)
        return on_cpu
    return on_gpu


def _compare(on_gpu: GpuPreprocessor, on_cpu: Preprocessor) -> None:
    """Raise RuntimeUnavailable where the two do not give the same images, but for roundings."""
    noise = np.random.default_rng(0)
    height, width = on_gpu.config.input_size
    # Shrunk to less than half, enlarged, and as it is.
    for size in ((5 * height // 2, width // 2 + 1), (height // 2 + 1, width // 3, 3), (height, width, 3)):
        image = noise.integers(0, 256, size, np.uint8)
        found, expected = on_gpu([image])[0].pixels(), on_cpu([image])[0]
        difference = int(np.abs(found.astype(int) - expected).max())
        if difference > 1:
            raise RuntimeUnavailable(f"the GPU fits an image of {size} in otherwise than OpenCV, by {difference}")


@dataclass(frozen=True, eq=False)
class FittedOnGpu:
    """The input of a network, (B, height, width, 3) uint8, on the GPU.

    Args:
        device: its address.
        shape: as above.
        ready: the moment from which on it is there.
    """

    device: int
    shape: tuple[int, ...]
    ready: Event

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, part: slice) -> FittedOnGpu:
        begin, end, _ = part.indices(len(self))
        first = self.device + begin * int(np.prod(self.shape[1:]))
        return FittedOnGpu(first, (end - begin, *self.shape[1:]), self.ready)

    def copy_to(self, device: int, stream: int) -> None:
        """Enqueue a copy of it to an address in a stream, by its handle."""
        self.ready.hold_up(stream)
        copy(stream, device, self.device, int(np.prod(self.shape)))

    def pixels(self) -> Array:
        """The same in host memory."""
        with contextlib.ExitStack() as resources:
            stream = Stream()
            resources.callback(stream.close)
            buffer = Buffer("images to be looked at", self.shape, _UINT8)
            resources.callback(buffer.close)
            self.copy_to(buffer.device, stream.handle)
            stream.download(buffer)
            stream.synchronize()
            return buffer.array.copy()


class GpuPreprocessor:
    """As :class:`Preprocessor`, on the GPU, and to the bit as there where OpenCV is the same.

    Args:
        config: of the network.
        compute: compute capability of the GPU, such as ``8.9``.

    Raises:
        CudaError: the GPU refuses something.
        RuntimeUnavailable: the kernel cannot be compiled here.
    """

    def __init__(self, config: ModelConfig, compute: str) -> None:
        self.config = config
        code = _code(compute)
        with contextlib.ExitStack() as resources:
            _use_gpu()
            self._stream = _stream()
            self._kernel = Kernel(code, "resize", (ADDRESS,) * 4 + (NUMBER,) * 6)
            resources.callback(self._kernel.close)
            self._blank = Buffer("an empty image", (*config.input_size, 3), _UINT8)
            resources.callback(self._blank.close)
            self._blank.array[...] = config.padding
            self._stream.upload(self._blank)
            self._stream.synchronize()
            # Two in turn: the network may still read one.
            self._slot, self._other = (_Slot(self._blank.size) for _ in range(2))
            resources.callback(self._slot.close)
            resources.callback(self._other.close)
            self._resources = resources.pop_all()
        self._first_jpeg = threading.Lock()

    def __call__(self, images: Sequence[Array | GpuPicture]) -> tuple[FittedOnGpu, list[Letterbox]]:
        """Fit images in; as of :class:`Preprocessor`, but on the way to the GPU when this returns.

        Args:
            images: as there, or what :meth:`decode` gave.

        Raises:
            CudaError: the GPU refuses something.
            ValueError: another shape or dtype, or no pixels.
        """
        for image in images:
            check_image(image)
        self._slot, self._other = self._other, self._slot
        slot = self._slot
        _use_gpu()
        slot.make_room(len(images))
        slot.sources = images
        letterboxes = [self._fit(image, slot, place) for place, image in enumerate(images)]
        slot.ready.record(self._stream)
        return FittedOnGpu(slot.device, (len(images), *self.config.input_size, 3), slot.ready), letterboxes

    @property
    def decodes(self) -> bool:
        """Whether :meth:`decode` may give pictures; it is not known before the first."""
        return self.__dict__.get("_decoder", True) is not None

    def decode(self, content: bytes) -> GpuPicture | None:
        """A colour JPEG decoded on the GPU; None where it has to be decoded elsewhere. Any thread may ask."""
        _use_gpu()
        with self._first_jpeg:
            decode = self._decoder
        return decode(content, self._stream.handle) if decode is not None else None

    @cached_property
    def _decoder(self) -> JpegDecoder | None:
        return decoder(self._stream)  # not before there are JPEGs: it takes memory

    def _fit(self, image: Array | GpuPicture, slot: _Slot, place: int) -> Letterbox:
        size, channels = (image.shape[1], image.shape[0]), 1 if len(image.shape) == 2 else 3
        sizes, letterbox = plan(size, self.config)
        mixes = _mixes(size, tuple(sizes))
        columns = slot.send(place, mixes, image if isinstance(image, np.ndarray) else None, self._stream)
        if isinstance(image, np.ndarray):
            source, row = columns + mixes.nbytes, size[0] * channels
        else:
            source, row = image.device, image.row
        canvas = slot.device + place * self._blank.size
        if slot.filled[place] != sizes[-1]:
            self._stream.copy(canvas, self._blank.device, self._blank.size)
            slot.filled[place] = sizes[-1]
        halves = slot.halves(place, size, channels) if len(sizes) > 1 else 0
        for number, (width, height) in enumerate(sizes, start=1):
            last = number == len(sizes)
            target, values = (canvas, 3) if last else (halves, channels)
            target_row = (self.config.input_size[1] if last else width) * values
            rows = columns + width * _MIXES.itemsize
            self._kernel.launch(
                self._stream.handle, width, height,
                source, target, columns, rows, row, channels, target_row, values, width, height,
            )  # fmt: skip
            source, row, halves = target, target_row, halves + width * height * channels
            columns = rows + height * _MIXES.itemsize
        return letterbox

    def close(self) -> None:
        """Free the GPU's memory; nothing that it gave can be used any more."""
        free("cudaStreamSynchronize", self._stream.handle)  # nothing may be on its way into what is freed
        self.__dict__.pop("_decoder", None)
        self._resources.close()


class _Slot:
    """The network's input for images that go through it together, and what they come from.

    Attributes:
        device: address of the input.
        filled: how much of each image there, (width, height), is not padding.
        ready: when the last ones are there.
        sources: what they come from, which must be there as long.
    """

    def __init__(self, size: int) -> None:
        self.ready = Event()
        self.filled: list[tuple[int, int]] = []
        self.sources: Sequence[object] = ()
        self._size = size  # of an image in the input [bytes]
        self._shared = bool(_attribute("cudaDevAttrIntegrated"))
        self._input: Memory | None = None
        self._raw: list[Buffer | None] = []
        self._halves: list[Memory | None] = []

    @property
    def device(self) -> int:
        assert self._input is not None
        return self._input.device

    def make_room(self, count: int) -> None:
        """For so many images, which replace those that were here."""
        self.ready.wait()  # those may still be on their way, where the network took them no more
        self.sources = ()
        if count <= len(self.filled):
            return
        if self._input is not None:
            self._input.close()
        self._input, self.filled = None, []
        self._input = Memory(f"{count} images", count * self._size)
        self.filled = [(0, 0)] * count
        self._raw += [None] * (count - len(self._raw))
        self._halves += [None] * (count - len(self._halves))

    def send(self, place: int, mixes: Array, image: Array | None, stream: Stream) -> int:
        """Enqueue what the kernel reads of an image, ``mixes`` and behind them pixels that are not there yet: where."""
        size, raw = mixes.nbytes + (0 if image is None else image.nbytes), self._raw[place]
        if raw is None or raw.size < size:
            if raw is not None:
                self._raw[place] = None
                raw.close()
            raw = self._raw[place] = Buffer(f"{size} bytes of an image", (size,), _UINT8, self._shared)
        raw.array[: mixes.nbytes] = mixes.reshape(-1).view(np.uint8)
        if image is not None:
            np.copyto(raw.array[mixes.nbytes : size].reshape(image.shape), image)
        stream.upload(raw, size)
        return raw.device

    def halves(self, place: int, size: tuple[int, int], channels: int) -> int:
        """Address of room for an image of ``size`` halved again and again, one behind the other."""
        wanted, halves = (size[0] + 2) * (size[1] + 2) * channels, self._halves[place]  # a third of it, if not slim
        if halves is None or halves.size < wanted:
            if halves is not None:
                self._halves[place] = None
                halves.close()
            halves = self._halves[place] = Memory(f"halves of an image of {size}", wanted)
        return halves.device

    def close(self) -> None:
        self.sources = ()
        for memory in (self._input, *self._raw, *self._halves):
            if memory is not None:
                memory.close()
        self.ready.close()


@cache
def _code(compute: str) -> bytes:
    return compiled(_SOURCE.read_text(encoding="utf-8"), _SOURCE.name, compute)


@cache
def _stream() -> Stream:
    """The stream in which images come to the GPU, of the whole process: pictures are freed in it, whenever that is."""
    return Stream()


def _use_gpu() -> None:
    """Make the calling thread one that uses the GPU: kernels, unlike copies, do not do so by themselves."""
    call("to be used", "cudaSetDevice", 0)


def _attribute(name: str) -> int:
    from cuda.bindings import runtime

    return int(call("to tell what it is", "cudaDeviceGetAttribute", getattr(runtime.cudaDeviceAttr, name), 0))


@lru_cache(maxsize=64)
def _mixes(size: tuple[int, int], sizes: tuple[tuple[int, int], ...]) -> Array:
    """For each of ``sizes`` which columns, then which rows, of the one before are mixed, (N, 4) int32."""
    found = []
    for made in sizes:
        found += [_mix(size[0], made[0], columns=True), _mix(size[1], made[1], columns=False)]
        size = made
    return np.concatenate(found)


def _mix(source: int, target: int, columns: bool) -> Array:
    """Of which two of ``source`` pixels each of ``target`` is mixed, and of how many of 2048 parts of each.

    As OpenCV has it: centres are in the middle of pixels; at a border columns have all parts of one pixel, rows parts
    of twice the same.
    """
    place = ((np.arange(target) + 0.5) * (1.0 / (target / source)) - 0.5).astype(np.float32)
    first = np.floor(place)
    part = place - first
    if columns:
        part[(first < 0) | (first >= source - 1)] = 0
    both = np.stack([first, first + 1]).clip(0, source - 1)
    parts = np.rint(np.stack([np.float32(1) - part, part]) * np.float32(_PARTS))
    return np.concatenate([both, parts]).T.astype(np.int32)
