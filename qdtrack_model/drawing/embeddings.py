"""Pictures of what a one-shot network has learned: its embeddings in a plane, and its heatmap over the image."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import cv2
import numpy as np

from qdtrack_model.atomic import atomic_write
from qdtrack_model.drawing.overlay import colour_of
from qdtrack_model.structures import Array

PERPLEXITY, ITERATIONS = 30, 300  # of t-SNE, as published


def in_a_plane(embeddings: Array) -> Array:
    """Embeddings (M, D), M above 3, as points (M, 2) that lie near each other where they do, by t-SNE on unit length.

    Raises:
        ValueError: scikit-learn is not installed, or there are too few.
    """
    try:
        from sklearn.manifold import TSNE
    except ModuleNotFoundError:
        raise ValueError("pictures of embeddings need scikit-learn: pip install 'qdtrack[embeddings]'") from None
    if len(embeddings) < 4:
        raise ValueError(f"embeddings: got {len(embeddings)}, expected 4 or more for a picture")
    unit = embeddings / np.maximum(np.linalg.norm(embeddings, axis=1, keepdims=True), 1e-12)
    perplexity = min(PERPLEXITY, (len(embeddings) - 1) / 3)
    found = TSNE(perplexity=perplexity, max_iter=ITERATIONS, init="pca", random_state=0).fit_transform(unit)
    return np.asarray(found)


def draw_plane(path: Path, points: Array, ids: Array, crops: Mapping[int, Array], title: str) -> None:
    """Write a picture (PNG) of points (M, 2) in one colour an identity (M,), what it looks like beside each cloud.

    Args:
        path: of the picture.
        points: (M, 2).
        ids: (M,) identities.
        crops: of identities, BGR uint8.
        title: of the picture.
    """
    from matplotlib.figure import Figure
    from matplotlib.offsetbox import AnnotationBbox, OffsetImage

    figure = Figure(figsize=(10, 8), layout="tight")
    axes = figure.add_subplot(title=title, xticks=[], yticks=[])
    for identity in np.unique(ids).tolist():
        rows = ids == identity
        colour = np.array(colour_of(identity)[::-1]) / 255
        axes.scatter(points[rows, 0], points[rows, 1], s=9, color=colour)
        if identity in crops:
            crop = crops[identity]
            small = cv2.resize(crop, (max(1, round(44 * crop.shape[1] / crop.shape[0])), 44))
            middle = points[rows][np.linalg.norm(points[rows] - np.median(points[rows], axis=0), axis=1).argmin()]
            picture = AnnotationBbox(
                OffsetImage(small[..., ::-1]), tuple(middle), xybox=(26, 26), boxcoords="offset points", pad=0.1,
                bboxprops={"edgecolor": colour}, arrowprops={"arrowstyle": "-", "color": colour},
            )  # fmt: skip
            axes.add_artist(picture)
    with atomic_write(path) as partial:
        figure.savefig(partial, format="png", dpi=110)


def draw_heat(image: Array, heat: Array, boxes: Array) -> Array:
    """An image (H, W, 3) BGR with its heatmap (h, w) in 0..1 over it, and boxes (N, 4)."""
    size = (image.shape[1], image.shape[0])
    levels = cv2.resize((255 * np.clip(heat, 0, 1)).astype(np.uint8), size, interpolation=cv2.INTER_LINEAR)
    drawn = cv2.addWeighted(image, 0.5, cv2.applyColorMap(levels, cv2.COLORMAP_JET), 0.5, 0)
    for x1, y1, x2, y2 in np.round(boxes).astype(int).tolist():
        cv2.rectangle(drawn, (x1, y1), (x2, y2), (255, 255, 255), 2)
    return drawn
