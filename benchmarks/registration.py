"""What it costs to find a camera's motion by its images, and how exact it is: beside it the truth of synthetic streets.

    python benchmarks/registration.py [--seeds 9 11 12] [--frames 30]

The camera turns and shakes as on a vehicle, seen ten times a second. CPU time is what all threads computed for an
image, which holds also on a machine that is busy with other things; the error is where places near the border of the
image are put, beside where the camera's rotation puts what is far away. Near things are elsewhere: the camera moves.
"""

from __future__ import annotations

import argparse
from itertools import chain
from time import process_time

import cv2
import numpy as np

from qdtrack_model.sensors.registration import Registration
from qdtrack_model.synthetic import Scene, SceneConfig
from qdtrack_model.synthetic.camera import homography

SIZES = ((1280, 720), (1920, 1080))


def measured(scene: Scene, size: tuple[int, int]) -> tuple[list[float], list[float], list[float]]:
    """For each image milliseconds; and of those whose motion was found, by how many pixels places move and are off."""
    times, motions, errors = [], [], []
    register, scale = Registration(), np.diag([size[0] / scene.config.size[0], size[1] / scene.config.size[1], 1.0])
    width, height = size
    places = np.array([[[x, y] for x in (0.1 * width, 0.9 * width) for y in (0.1 * height, 0.9 * height)]])
    for number, frame in enumerate(scene):
        image = cv2.resize(frame.image, size)
        start = process_time()
        found = register(image, size, frame.truth.boxes * np.tile(np.diag(scale)[:2], 2))
        times.append(1e3 * (process_time() - start))
        if found is not None:
            far = scale @ homography(scene.camera(number - 1), scene.camera(number)) @ np.linalg.inv(scale)
            ends = cv2.perspectiveTransform(places, far)
            motions.append(float(np.linalg.norm(ends - places, axis=2).mean()))
            errors.append(float(np.linalg.norm(ends - cv2.perspectiveTransform(places, found), axis=2).mean()))
    return times, motions, errors


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[9, 11, 12])
    parser.add_argument("--frames", type=int, default=30)
    args = parser.parse_args()
    cv2.setNumThreads(1)  # as in the node
    scenes = [Scene(SceneConfig(seed, args.frames, 10.0, camera="turning")) for seed in args.seeds]
    for size in SIZES:
        parts = zip(*(measured(one, size) for one in scenes), strict=True)
        times, motions, errors = (list(chain(*part)) for part in parts)
        middle, late = np.percentile(times, [50, 95])
        print(
            f"{size[0]}x{size[1]}: {middle:.1f} ms CPU p50, {late:.1f} p95;"
            f" found for {len(errors)} of {len(times) - len(scenes)} images; places move by {np.median(motions):.1f} px"
            f" and are off by {np.median(errors):.1f} p50, {np.percentile(errors, 95):.1f} p95"
        )


if __name__ == "__main__":
    main()
