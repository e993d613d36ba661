"""How the camera moved between two images, by the images alone: corners of what stands, followed by optical flow.

Shi and Tomasi, Good Features to Track, CVPR 1994; Bouguet, Pyramidal Implementation of the Lucas Kanade Feature
Tracker, 2000; the homography that most of the corners agree on by RANSAC (all by OpenCV). What moves by itself is left
out as far as it was detected, and outvoted as far as it was not.
"""

from __future__ import annotations

import cv2
import numpy as np

from qdtrack_model.structures import Array

_LONG_SIDE = 640  # pixels of the largest images that are not halved: more tell no more of a motion that all share
_CORNERS = 150
_QUALITY = 0.01  # of the weakest corner, as a share of the best one's
_APART = 14  # pixels between corners, so that they are not all on one house
_TOLERANCE = 1.5  # pixels that a corner may be off
_LEAST = 20  # corners that must agree,
_SHARE = 0.4  # and how many of those that were found again
_ZOOM = (0.7, 1.4)  # by which a whole image may grow from one frame to the next


class Registration:
    """Follows one camera, image by image."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forget the image before; the next one starts afresh."""
        self._grey: Array | None = None
        self._corners: Array | None = None

    def __call__(self, image: Array, size: tuple[int, int], boxes: Array) -> Array | None:
        """Where the pixels of the image before are in this one.

        Args:
            image: (H, W, 3) BGR or (H, W) grey, uint8, of any resolution.
            size: width and height that pixels are counted in.
            boxes: (N, 4) of what may move in this image [px of ``size``].

        Returns:
            A homography (3, 3); None for the first image, one of another shape, and where too few corners agree: in the
            dark, in fog, before a blank wall, or where nearly all that is seen moves.
        """
        grey = _reduced(image)
        scale = np.array([size[0] / grey.shape[1], size[1] / grey.shape[0]])
        before, corners = self._grey, self._corners
        self._grey, self._corners = grey, _corners(grey, boxes / np.tile(scale, 2))
        if before is None or corners is None or before.shape != grey.shape:
            return None
        homography = _homography(before, grey, corners)
        return None if homography is None else _scaled(homography, scale)


def _reduced(image: Array) -> Array:
    """The image in grey, halved until it is small: reducing it by any other factor costs ten times as much."""
    while max(image.shape[:2]) > _LONG_SIDE:
        image = cv2.resize(image, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY) if image.ndim == 3 else image)


def _corners(grey: Array, boxes: Array) -> Array | None:
    """Corners (N, 1, 2) to follow, outside the boxes; None where there are none."""
    mask = np.full(grey.shape, 255, np.uint8)
    for x1, y1, x2, y2 in np.clip(boxes, 0, 2 * _LONG_SIDE).astype(int).tolist():
        mask[y1 : y2 + 1, x1 : x2 + 1] = 0
    found = cv2.goodFeaturesToTrack(grey, _CORNERS, _QUALITY, _APART, mask=mask)
    return None if found is None else np.asarray(found)


def _homography(before: Array, after: Array, corners: Array) -> Array | None:
    """The homography (3, 3) that enough of the corners of one image agree on, in its pixels."""
    ends, found, _ = cv2.calcOpticalFlowPyrLK(before, after, corners, None)
    kept = found[:, 0] > 0
    if kept.sum() < _LEAST:
        return None
    homography, agree = cv2.findHomography(corners[kept], ends[kept], cv2.RANSAC, _TOLERANCE)
    if homography is None or agree.sum() < max(_LEAST, _SHARE * kept.sum()):
        return None
    height, width = after.shape
    border = np.array([[[0, 0], [width, 0], [width, height], [0, height]]], np.float64)
    area = cv2.contourArea(cv2.perspectiveTransform(border, homography).astype(np.float32), oriented=True)
    zoom = area / (width * height)
    return np.asarray(homography) if _ZOOM[0] ** 2 < zoom < _ZOOM[1] ** 2 else None


def _scaled(homography: Array, scale: Array) -> Array:
    """The same between places that count from the outer corner of the first pixel, in pixels of another size.

    Args:
        homography: (3, 3) between places that are whole numbers in the middle of pixels, as OpenCV counts.
        scale: other pixels in one of these, x and y.
    """
    outward = np.diag([*scale, 1.0]) @ np.array([[1.0, 0.0, 0.5], [0.0, 1.0, 0.5], [0.0, 0.0, 1.0]])
    return np.asarray(outward @ homography @ np.linalg.inv(outward))
