"""What ``detected.json`` would teach, on classes that are labelled: ``python tools/detected.py RECIPE SET...``.

Each set is read once as it is and once as if nothing were labelled and every class were in ``absent``. Of what is then
filled it says how much shows an object, and of the objects how many are filled, left alone, or taken for background.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from qdtrack_model.boxes import box_iou
from qdtrack_model.data.loading import DataConfig
from qdtrack_model.data.readers import coco
from qdtrack_model.data.reading import Odd
from qdtrack_model.data.samples import IGNORED, Objects
from qdtrack_model.structures import Array
from qdtrack_model.training.config import read_recipe

SAME = 0.5  # overlap from which a box shows an object


def counted(truth: Objects, seen: Objects, label: int) -> Counter[str]:
    """What became of one class in one image."""
    own, filled = truth.boxes[truth.labels == label], seen.boxes[seen.labels == label]
    unsure = seen.open_boxes[seen.open_labels == label]
    learned = _overlaps(own, filled).max(axis=1, initial=0) > SAME
    centres = (own[:, :2] + own[:, 2:]) / 2
    inside = (centres[:, None] >= unsure[:, :2]) & (centres[:, None] <= unsure[:, 2:])
    alone = ~learned & inside.all(axis=2).any(axis=1)
    right = _overlaps(filled, own).max(axis=1, initial=0) > SAME
    neither = ~right & (_overlaps(filled, truth.boxes[truth.labels == IGNORED]).max(axis=1, initial=0) > 0)
    return Counter(
        objects=len(own), learned=int(learned.sum()), alone=int(alone.sum()),
        filled=len(filled) - int(neither.sum()), right=int(right.sum()),
    )  # fmt: skip


def _overlaps(boxes: Array, others: Array) -> Array:
    return box_iou(boxes, others).reshape(len(boxes), len(others))


def read_twice(folder: Path, recipe: Any, fill: float, ignore: float) -> list[tuple[Objects, Objects]]:
    """What is in each image as labelled, and as detected."""
    file = coco.find_annotations(folder)
    if file is None:
        raise SystemExit(f"detected: error: {folder}: no set in COCO form")
    content = coco.read_content(file)
    reading = DataConfig(categories=recipe.data.categories).reading(folder, recipe.model, "train")
    classes = recipe.model.classes
    believed = replace(reading.labelling, absent=classes, partial=classes, fill_score=fill, ignore_score=ignore)
    roots = [folder / "images", folder]

    def objects(content: Mapping[str, Any], labelling: Any) -> Sequence[Objects]:
        given = replace(reading, labelling=labelling)
        return [one.objects for one in coco.read_stills(content, file, folder, roots, given, Odd()).samples]

    labelled = objects(content, reading.labelling)
    return list(zip(labelled, objects({**content, "annotations": []}, believed), strict=True))


def main() -> None:
    """Print a row for each set and class."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe", type=Path, help="its categories and classes")
    parser.add_argument("sets", type=Path, nargs="+", help="folders in COCO form with detected.json")
    parser.add_argument("--fill", type=float, default=0.6, help="fill_score [0.6]")
    parser.add_argument("--ignore", type=float, default=0.3, help="ignore_score [0.3]")
    args = parser.parse_args()
    recipe = read_recipe(args.recipe)
    print("set           class         filled  right    objects  filled  alone  background")
    for folder in args.sets:
        pairs = read_twice(folder, recipe, args.fill, args.ignore)
        for label, name in enumerate(recipe.model.classes):
            known = [pair for pair in pairs if label not in pair[0].open_labels]
            total = sum((counted(*pair, label) for pair in known), Counter())
            if not (total["objects"] and total["filled"]):
                continue
            lost = total["objects"] - total["learned"] - total["alone"]
            parts = [total[key] / total["objects"] for key in ("learned", "alone")] + [lost / total["objects"]]
            print(
                f"{folder.name:<13} {name:<11} {total['filled']:>8}{total['right'] / total['filled']:>7.0%}   "
                f"{total['objects']:>8}{parts[0]:>8.0%}{parts[1]:>7.0%}{parts[2]:>12.0%}"
            )


if __name__ == "__main__":
    main()
