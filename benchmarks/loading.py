"""What training images cost: memory while thousands of them are drawn, and time against decoding alone.

    python benchmarks/loading.py

Stills are generated into a temporary folder, read as any set in COCO form, and drawn as a training draws them: pairs
of views, half of them of mosaics. Were images kept, memory would grow by all of them decoded. A sample is one view;
time is that of one core, whatever else it had to do.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np

from qdtrack_model.commands.arguments import positive_integer
from qdtrack_model.config import OneShotConfig
from qdtrack_model.data.loading import DataConfig, SetConfig, load_sets
from qdtrack_model.data.pairs import FramePairs, PairConfig
from qdtrack_model.data.samples import LabelledImage, Objects, SampleSet, StoredImage
from qdtrack_model.runtimes import resident_memory

SIZE = (640, 480)  # width, height
MOSAIC = 0.5
WARM_UP = 200  # samples before memory is looked at for the first time


class TimedImage:
    """A still that adds up how many of it were read, and the seconds that took."""

    images, seconds = 0, 0.0

    def __init__(self, stored: StoredImage) -> None:
        self._stored = stored

    @property
    def objects(self) -> Objects:
        return self._stored.objects

    def read(self) -> LabelledImage:
        start = time.process_time()
        image = self._stored.read()
        TimedImage.seconds += time.process_time() - start
        TimedImage.images += 1
        return image


def write_stills(folder: Path, count: int) -> None:
    """Textured pictures with six boxes each."""
    random = np.random.default_rng(0)
    ground = cv2.resize(random.integers(0, 255, (96, 128, 3), np.uint8), None, fx=10, fy=10)
    images, boxes = [], []
    for number in range(count):
        x, y = random.integers(0, (ground.shape[1] - SIZE[0], ground.shape[0] - SIZE[1]))
        cv2.imwrite(str(folder / f"{number}.jpg"), ground[y : y + SIZE[1], x : x + SIZE[0]])
        images.append({"id": number, "file_name": f"{number}.jpg", "width": SIZE[0], "height": SIZE[1]})
        for left, top in random.integers(0, (SIZE[0] - 60, SIZE[1] - 120), (6, 2)).tolist():
            boxes.append({"image_id": number, "category_id": 1, "bbox": [left, top, 60, 120]})
    content = {"images": images, "annotations": boxes, "categories": [{"id": 1, "name": "pedestrian"}]}
    (folder / "instances.json").write_text(json.dumps(content))


def main() -> None:
    """Draw samples and print what they cost."""
    parser = argparse.ArgumentParser(description="Memory and time of drawing training images.")
    parser.add_argument("--samples", type=positive_integer, default=10_000)
    parser.add_argument("--images", type=positive_integer, default=1_000, help="stills that are drawn from")
    args = parser.parse_args()
    cv2.setNumThreads(1)
    with tempfile.TemporaryDirectory() as folder:
        write_stills(Path(folder), args.images)
        config = DataConfig(sets={Path(folder).name: SetConfig(mosaic=MOSAIC)})
        [stills] = load_sets([Path(folder)], OneShotConfig(classes=("pedestrian",), input_size=SIZE[::-1]), config)
        timed = SampleSet([TimedImage(s) for s in stills.samples], True, mosaic=MOSAIC)  # type: ignore[arg-type]
        pairs = FramePairs([timed], PairConfig(), 0, (WARM_UP + args.samples) // 2)
        for item in range(WARM_UP // 2):
            pairs[item]
        memory, count = [resident_memory()], args.samples // 2
        TimedImage.images, TimedImage.seconds = 0, 0.0
        start = time.process_time()
        for item in range(count):
            pairs[WARM_UP // 2 + item]
            if item in (count // 2, count - 1):
                memory.append(resident_memory())
        seconds = time.process_time() - start
    megabytes = [round(value / 1e6) for value in memory]
    decoded, drawn = args.images * SIZE[0] * SIZE[1] * 3 / 1e6, 2 * count
    print(f"{args.images} stills of {SIZE[0]}x{SIZE[1]}, {decoded:.0f} MB decoded; {drawn} samples drawn")
    print(f"memory    start {megabytes[0]} MB, middle {megabytes[1]} MB, end {megabytes[2]} MB")
    print(f"samples   {drawn / seconds:.0f}/s, {1e3 * seconds / drawn:.2f} ms each")
    print(f"decoding  {1e3 * TimedImage.seconds / TimedImage.images:.2f} ms an image")
    print(
        f"          {TimedImage.images / drawn:.2f} images a sample; {seconds / TimedImage.seconds:.2f}x decoding alone"
    )


if __name__ == "__main__":
    main()
