"""Where tracked objects are in space: boxes, an aligned depth image and the camera's geometry; no ROS needed.

A box holds more than its object: what is seen around and through it lies behind, a post or a passer-by may stand in
front. Both go on beyond the box, the object does not. So the depths in a box are counted in bins as wide as a fixed
share of the depth, their peaks with their flanks are clusters, and of the clusters the object is the one that has most
of the box, counted from its middle, and least of the frame around it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

import numpy as np

from qdtrack_model.sensors.camera_model import CameraModel
from qdtrack_model.sensors.encodings import plane
from qdtrack_model.sensors.messages import InvalidImage, RawMessage, shown
from qdtrack_model.sensors.poses import Pose
from qdtrack_model.structures import Array

_FRAME = 0.15  # width of the frame that is looked at around a box, as a share of the box's sides
_EDGE = 0.04  # the same of what is left out on both sides of the box's edges, which are not exact
_SAMPLES = 28  # looked at from side to side and from top to bottom; larger boxes tell no more
_LEAST = 12  # pixels of the object whose depth is known
_NEAREST, _FARTHEST = 0.05, 1000.0  # metres; what is beyond counts there
_BIN = 0.03  # width of the bins of depth, as a share of the depth
_BINS = math.ceil(math.log(_FARTHEST / _NEAREST) / _BIN)
_FLANK = 0.15  # share of the peak's pixels that a bin needs to belong to its cluster
_CLUSTERS = 3  # looked for in a box
_EXTENT = (0.05, 0.95)  # quantiles of the object's depths between which it extends

_NORMAL_90 = 3.29  # standard deviations between the quantiles 5 % and 95 % of a normal distribution

_PLACES = np.linspace(-_FRAME, 1 + _FRAME, _SAMPLES)  # of the samples, as shares of a side from edge to edge
_BESIDE = np.abs(_PLACES - 0.5) > 0.5 + _EDGE
_WITHIN = np.abs(_PLACES - 0.5) < 0.5 - _EDGE
_INSIDE = np.outer(_WITHIN, _WITHIN).ravel()
_CENTRAL = _INSIDE * np.outer(_PLACES * (1 - _PLACES), _PLACES * (1 - _PLACES)).ravel()
_AROUND = np.logical_or.outer(_BESIDE, _BESIDE).ravel()


@dataclass(frozen=True, eq=False)
class Boxes3D:
    """Where some of the tracks are, in the optical frame of their image (z forward, x right, y down), or another [m].

    Args:
        rows: (K,) int64, rising: which of the tracks.
        centres: (K, 3) float32.
        sizes: (K, 3) float32 along the optical axes; in z what is visible of the object.
        covariances: (K, 3, 3) float32: how exact the centres are [m^2], by the spread of the depths and a pixel of the
            image.
        quaternion: (4,) x y z w: how the optical axes are turned in the frame.
        velocities: (K, 3) over ground, along the axes of the frame [m/s]; None where they are not known.
        velocity_covariances: (K, 3, 3) [m^2/s^2].
    """

    rows: Array
    centres: Array
    sizes: Array
    covariances: Array
    quaternion: Array = field(default_factory=lambda: np.array([0.0, 0.0, 0.0, 1.0]))
    velocities: Array | None = None
    velocity_covariances: Array | None = None

    def __len__(self) -> int:
        return len(self.rows)

    def seen_from(self, pose: Pose) -> Boxes3D:
        """These, which are in the optical frame, in the frame that it has this pose in; velocities are left out."""
        return Boxes3D(
            self.rows, pose.places(self.centres), self.sizes, pose.covariances(self.covariances), pose.quaternion
        )

    def completed_by(self, other: Boxes3D) -> Boxes3D:
        """These, and those of the ``other`` tracks in the same frame that are not among them."""
        more = np.flatnonzero(~np.isin(other.rows, self.rows))
        rows = np.concatenate([self.rows, other.rows[more]])
        order = np.argsort(rows)
        columns = {
            name: np.concatenate([getattr(self, name), getattr(other, name)[more]])[order]
            for name in ("centres", "sizes", "covariances")
        }
        return replace(self, rows=rows[order], **columns)


def depth_image(message: RawMessage) -> Array:
    """The depths (H, W) of a ``sensor_msgs/Image`` [m], float32, by REP 118; read-only where it is a view.

    A depth that is unknown is 0, NaN, infinite or negative, as the message has it.

    Raises:
        InvalidImage: neither 16UC1 nor 32FC1, an impossible size or step, or fewer bytes than declared.
    """
    size = (message.height, message.width)
    if message.encoding == "16UC1":
        return np.asarray(plane(message, 0, size, 1, message.step, "u2")[:, :, 0] * np.float32(1e-3))
    if message.encoding == "32FC1":
        return np.asarray(plane(message, 0, size, 1, message.step, "f4")[:, :, 0].astype(np.float32, copy=False))
    raise InvalidImage("no depth", f"encoding {shown(message.encoding)}, expected 16UC1 [mm] or 32FC1 [m] (REP 118)")


def locate(boxes: Array, depth: Array, camera: CameraModel) -> Boxes3D:
    """Where the objects in boxes are.

    Args:
        boxes: (M, 4) x1 y1 x2 y2 in pixels of the camera's image.
        depth: (H, W) float32 metres, what is no finite positive number being unknown; aligned with the image, of its
            size or a whole multiple or fraction of it.
        camera: geometry of the image.

    Returns:
        The boxes in which enough depth is known, in their order.

    Raises:
        InvalidImage: the depth image is of another size.
    """
    scaled = boxes * np.tile(_scale(depth, camera.size), 2)
    rows = np.flatnonzero((scaled[:, 2:] > scaled[:, :2]).all(axis=1))
    near, far = _extents(*_sampled(scaled[rows], depth))
    extents = _across(boxes[rows], camera)
    known = np.flatnonzero(np.isfinite(near) & np.isfinite(extents).all(axis=1))
    near, far, extents = near[known], far[known], extents[known]
    middle = (near + far)[:, None] / 2
    lowest, highest = extents[:, :2] * middle, extents[:, 2:] * middle
    centres = np.hstack([(lowest + highest) / 2, middle])
    pixels = boxes[rows[known], 2:] - boxes[rows[known], :2]
    return Boxes3D(
        rows[known],
        centres.astype(np.float32),
        np.hstack([highest - lowest, (far - near)[:, None]]).astype(np.float32),
        _covariances(centres, far - near, (highest - lowest) / pixels).astype(np.float32),
    )


def _covariances(centres: Array, spreads: Array, pixels: Array) -> Array:
    """How exact centres (K, 3) are: (K, 3, 3).

    An error in depth moves a centre along its ray, one in the image across it.

    Args:
        centres: (K, 3) [m].
        spreads: (K,) from the nearest to the farthest of the object's depths, between the quantiles _EXTENT [m].
        pixels: (K, 2) width and height of a pixel at that depth [m].
    """
    depth = centres[:, 2]
    # Depths that are spread like a normal distribution have 90 % of them within 3.29 deviations; and none is told
    # apart from others in its bin, which it may lie anywhere in.
    variance = (spreads / _NORMAL_90) ** 2 + (_BIN * depth) ** 2 / 12
    along = centres / depth[:, None]
    covariances = variance[:, None, None] * along[:, :, None] * along[:, None, :]
    covariances[:, [0, 1], [0, 1]] += pixels**2
    return np.asarray(covariances)


def _scale(depth: Array, size: tuple[int, int]) -> Array:
    """Pixels of the depth image in one of the image, x and y (2,): the same whole number or one over it."""
    (width, height), (columns, rows) = size, depth.shape[::-1]
    if columns * height == rows * width and (columns % width == 0 or width % columns == 0):
        return np.array([columns / width, rows / height])
    raise InvalidImage(
        "depth is not aligned",
        f"depth of {columns}x{rows} pixels for an image of {width}x{height}: publish it registered to the image",
    )


def _sampled(boxes: Array, depth: Array) -> tuple[Array, Array]:
    """Depths (K, S) spread evenly over boxes and their frames, NaN where unknown, and how many there are a pixel (K,).

    Small boxes have fewer pixels than samples.
    """
    sides = boxes[:, 2:] - boxes[:, :2]
    places = np.floor(boxes[:, None, :2] + sides[:, None, :] * _PLACES[:, None]).astype(np.intp)
    within = (places >= 0) & (places < depth.shape[::-1])
    places *= within
    columns, rows = places[:, None, :, 0], places[:, :, None, 1]
    samples = depth[rows, columns]
    with np.errstate(invalid="ignore"):
        known = np.isfinite(samples) & (samples > 0) & within[:, None, :, 0] & within[:, :, None, 1]
    samples = np.where(known, samples, np.float32(np.nan)).reshape(-1, _SAMPLES**2)
    pixels = np.minimum(np.ceil(sides * (1 + 2 * _FRAME)), _SAMPLES).prod(axis=1)
    return samples, samples.shape[1] / pixels


def _extents(samples: Array, frequency: Array) -> tuple[Array, Array]:
    """The object's nearest and farthest depth (K,), NaN where too few are known.

    Args:
        samples: (K, S) depths, NaN where unknown.
        frequency: (K,) samples a pixel.
    """
    known = ~np.isnan(samples)
    bins = np.log(np.where(known, samples, _NEAREST) / _NEAREST) / _BIN
    bins = np.clip(bins, 0, _BINS - 1).astype(np.intp)
    first, last = _object(bins, known)
    own = known & _INSIDE & (bins >= first[:, None]) & (bins <= last[:, None])
    counts = own.sum(axis=1)
    ordered = np.sort(np.where(own, samples, np.inf), axis=1).astype(np.float64)
    picked = np.outer(np.maximum(counts - 1, 0), _EXTENT).round().astype(np.intp)
    depths = np.take_along_axis(ordered, picked, axis=1)
    depths[counts < _LEAST * frequency] = np.nan
    return depths[:, 0], depths[:, 1]


def _object(bins: Array, known: Array) -> tuple[Array, Array]:
    """The first and the last bin (K,) of the object's cluster among the bins (K, S) of ``known`` (K, S) samples."""
    inside, central, around = (_smoothed(_counted(bins, known * share)) for share in (_INSIDE, _CENTRAL, _AROUND))
    of_object = central / _CENTRAL.sum() - around / _AROUND.sum()
    ranks, every = np.arange(_BINS), np.arange(len(bins))
    found = []
    for _ in range(_CLUSTERS):
        peaks = central.argmax(axis=1)
        outside = inside < _FLANK * inside[every, peaks][:, None]
        first = np.where(outside & (ranks < peaks[:, None]), ranks + 1, 0).max(axis=1)
        last = np.where(outside & (ranks > peaks[:, None]), ranks - 1, _BINS - 1).min(axis=1)
        cluster = (ranks >= first[:, None]) & (ranks <= last[:, None])
        likely = np.where(central[every, peaks] > 0, (of_object * cluster).sum(axis=1), -np.inf)
        found.append((first, last, likely))
        inside[cluster] = central[cluster] = of_object[cluster] = 0
    firsts, lasts, likelihoods = (np.array(column) for column in zip(*found, strict=True))
    best = likelihoods.argmax(axis=0)
    return firsts[best, every], lasts[best, every]


def _counted(bins: Array, weights: Array) -> Array:
    """Sums (K, B) of the weights (K, S) in each bin."""
    flat = np.arange(len(bins))[:, None] * _BINS + bins
    return np.bincount(flat.ravel(), weights.ravel(), len(bins) * _BINS).reshape(len(bins), _BINS)


def _smoothed(counts: Array) -> Array:
    """Counts (K, B) shared with the bins beside them: what lies on the edge of two is one peak."""
    smooth = 2 * counts
    smooth[:, 1:] += counts[:, :-1]
    smooth[:, :-1] += counts[:, 1:]
    return smooth


def _across(boxes: Array, camera: CameraModel) -> Array:
    """Left, top, right and bottom (K, 4) of boxes at z = 1, by the middles of their edges."""
    x1, y1, x2, y2 = boxes.T.astype(np.float64)
    x, y = (x1 + x2) / 2, (y1 + y2) / 2
    rays = camera.rays(np.stack([[x1, x, x2, x], [y, y1, y, y2]], axis=-1).reshape(-1, 2)).reshape(4, -1, 2)
    return np.stack([rays[0, :, 0], rays[1, :, 1], rays[2, :, 0], rays[3, :, 1]], axis=1)
