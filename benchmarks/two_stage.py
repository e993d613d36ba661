"""Milliseconds of whole QDTrack networks, from a uint8 image to detections with embeddings, by runtime, on the CPU.

    python benchmarks/two_stage.py [--networks light mot17] [--threads 2] [--rounds 10]

The weights are seeded: speed does not depend on what a network has learned. ``light`` is the preset; ``mot17`` is the
paper's ResNet-50 at 480x800 with 1000 proposals. Where torchvision can be imported, its Faster R-CNN R50-FPN at
480x800, which gives no embeddings, takes part as the reference, otherwise eager torch does. All take turns, so that a
change in the machine's speed meets them alike.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from time import perf_counter

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parents[1]))

from qdtrack_model import checkpoints, runtimes
from qdtrack_model.networks import QDTrack
from qdtrack_model.presets import read_preset

SIZES = {"mot17": (480, 800)}  # instead of the preset's own


def seeded(name: str, folder: Path) -> checkpoints.Checkpoint:
    """Weights of a preset with features of unit size, so that boxes and scores are of ordinary sizes."""
    preset = read_preset(name)
    config = dataclasses.replace(preset.model, input_size=SIZES.get(name, preset.model.input_size))
    torch.manual_seed(0)
    network = QDTrack(config).eval()
    with torch.no_grad():
        levels = network.pyramid(torch.randint(0, 256, (1, *config.input_size, 3), dtype=torch.uint8))
        for block, level in zip(network.neck.fpn_convs, levels, strict=False):
            block.get_submodule("conv").weight /= level.std()
        for layer in (network.rpn_head.rpn_cls, network.roi_head.bbox_head.fc_cls):
            torch.nn.init.normal_(layer.weight, std=0.1)
    path = folder / f"{name}.safetensors"
    checkpoints.save(path, network, config, preset.tracker, {})
    return checkpoints.load(path)


def torchvision_detector(height: int, width: int) -> Callable[[], object] | None:
    """One inference of torchvision's Faster R-CNN, or None where torchvision cannot be imported."""
    try:
        from torchvision.models.detection import fasterrcnn_resnet50_fpn
    except (ImportError, RuntimeError) as error:  # RuntimeError: made for another torch
        reason = str(error).splitlines()[0]
        print(f"torchvision cannot be imported ({reason}): ratios are to eager torch instead")
        return None
    network = fasterrcnn_resnet50_fpn(weights=None, weights_backbone=None, min_size=height, max_size=width).eval()
    image = torch.rand(3, height, width)

    @torch.inference_mode()
    def infer() -> object:
        return network([image])

    return infer


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", nargs="+", default=["light", "mot17"], help="presets [light mot17]")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=10)
    args = parser.parse_args()

    runs: dict[tuple[str, str], Callable[[], object]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for name in args.networks:
            checkpoint = seeded(name, Path(folder))
            height, width = checkpoint.config.input_size
            image = np.random.default_rng(0).integers(0, 256, (1, height, width, 3), dtype=np.uint8)
            for kind in runtimes.RUNTIMES:
                runtime = runtimes.load(checkpoint, runtimes.Options(kind, threads=args.threads))
                runs[f"{name} {height}x{width}", kind] = partial(runtime.infer, image)
        reference = torchvision_detector(480, 800)
        if reference is not None:
            runs["Faster R-CNN R50 480x800", "torchvision"] = reference
        samples: dict[tuple[str, str], list[float]] = {key: [] for key in runs}
        for step in range(args.rounds + 1):
            for key, run in runs.items():
                start = perf_counter()
                run()
                if step:  # the first round warms up
                    samples[key].append((perf_counter() - start) * 1e3)

    medians = {key: float(np.median(times)) for key, times in samples.items()}
    print(f"{args.threads} threads, {args.rounds} rounds")
    print(f"{'network':<26}{'runtime':<14}{'ms p50':>8}{'p95':>8}{'images/s':>10}{'ratio':>8}")
    for (network, kind), median in medians.items():
        against = medians.get(("Faster R-CNN R50 480x800", "torchvision"), medians[network, "torch"])
        late = np.percentile(samples[network, kind], 95)
        print(f"{network:<26}{kind:<14}{median:>8.1f}{late:>8.1f}{1e3 / median:>10.1f}{against / median:>7.2f}x")


if __name__ == "__main__":
    main()
