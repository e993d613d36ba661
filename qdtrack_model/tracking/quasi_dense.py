"""The quasi-dense tracker: association by appearance with a memory of tracks and of backdrops.

Paper: Pang et al., Quasi-Dense Similarity Learning for Multiple Object Tracking, CVPR 2021. The order of the steps
and their thresholds follow the public implementation, whose ids it reproduces; unlike there the memory is a span of
time, ages on empty frames too, and does not survive a jump back in time.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from qdtrack_model.boxes import box_iou
from qdtrack_model.config import QuasiDenseConfig
from qdtrack_model.structures import Array, Detections, Tracks
from qdtrack_model.tracking.camera_motion import check_camera_motion, moved_boxes
from qdtrack_model.tracking.memory import CLOCK_RESOLUTION, TrackMemory
from qdtrack_model.tracking.motion import predict_boxes, recover_by_overlap, squared_distances
from qdtrack_model.tracking.similarity import bisoftmax, norms, row_softmax, suppressed, unit

_UNMATCHED, _DROPPED = -1, -2  # instead of a row of the memory


@dataclass(frozen=True, eq=False)
class _Candidates:
    """Detections of one frame without duplicates, by falling score.

    ``ious`` (A, A) are those of all detections by falling score, of which these N are the rows ``ranks``.
    """

    boxes: Array
    scores: Array
    labels: Array
    embeddings: Array
    ious: Array
    ranks: Array

    def duplicates(self, rows: Array, limit: float) -> Array:
        """Which of the given rows overlap any other of a higher score by more than ``limit``."""
        return suppressed(self.ious[self.ranks[rows]][:, self.ranks], limit, rows)


@dataclass(frozen=True, eq=False)
class _Backdrops:
    """Detections that are no track, newest first: they draw off what would else be matched to a track."""

    boxes: Array
    labels: Array
    embeddings: Array
    times: Array

    @classmethod
    def none(cls, embedding_size: int) -> _Backdrops:
        return cls(
            np.zeros((0, 4), np.float32), np.zeros(0, np.int64), np.zeros((0, embedding_size), np.float32), np.zeros(0)
        )

    def since(self, time: float) -> _Backdrops:
        if not len(self.times) or self.times[-1] >= time:
            return self
        rows = self.times >= time
        return _Backdrops(self.boxes[rows], self.labels[rows], self.embeddings[rows], self.times[rows])

    def moved(self, homography: Array) -> _Backdrops:
        """These, moved on with the camera."""
        return replace(self, boxes=moved_boxes(self.boxes, homography)[0])

    def after(self, found: _Candidates, rows: Array, time: float) -> _Backdrops:
        """These, preceded by the given rows of the newest frame."""
        if not len(rows):
            return self
        return _Backdrops(
            np.concatenate([found.boxes[rows], self.boxes]),
            np.concatenate([found.labels[rows], self.labels]),
            np.concatenate([found.embeddings[rows], self.embeddings]),
            np.concatenate([np.full(len(rows), float(time)), self.times]),
        )


class QuasiDenseTracker:
    """Gives detections ids that hold over time.

    Ids count up from 0 in each tracker and are never used twice: when time runs backwards (a bag that loops, a
    simulation that restarts) everything else is forgotten, but the ids go on. :meth:`reset` begins anew with id 0.

    Args:
        config: thresholds and spans; spans are in the unit of the ``time`` given to :meth:`update`.

    Example:
        >>> tracker = QuasiDenseTracker(QuasiDenseConfig(memory_span=30))
        >>> person = Detections([[10, 20, 50, 120]], [0.9], [0], [[1.0, 0.0]])
        >>> [int(tracker.update(person, time).ids[0]) for time in (0, 1, 2)]
        [0, 0, 0]
    """

    def __init__(self, config: QuasiDenseConfig | None = None) -> None:
        self._memory = TrackMemory()
        self.configure(config or QuasiDenseConfig())
        self.reset()

    def configure(self, config: QuasiDenseConfig) -> None:
        """Go on with other settings; what is remembered stays, for as long as they say."""
        self.config = config
        self._memory.configure(
            config.memory_span,
            config.momentum,
            config.velocity_momentum,
            config.min_hits,
            config.report_score,
            gallery=(config.gallery_span, config.gallery_score),
        )

    @property
    def next_id(self) -> int:
        """The id of the next track that is new."""
        return self._memory.next_id

    def reset(self, first_id: int = 0) -> None:
        """Forget everything, as if newly made; the next id is ``first_id``."""
        self._memory.clear(first_id)
        self._backdrops = _Backdrops.none(0)

    def update(self, detections: Detections, time: float, camera_motion: Array | None = None) -> Tracks:
        """Continue with the detections of one frame; call it for empty frames too, so that the memory ages.

        Args:
            detections: of this frame, in any order.
            time: of this frame, header seconds or frame number; the unit of the configured spans. Less than that of
                the frame before means that time was turned back, and resets the memory.
            camera_motion: homography (3, 3) from pixels of the frame before to pixels of this one, by which the memory
                moves on with a camera that turns; None where it stands, or nothing is known.

        Returns:
            The tracks observed in this frame, each with the box of its detection, by falling score. Detections that
            belong to no track are not among them.

        Raises:
            ValueError: ``time`` is not finite or is that of the frame before, the embeddings are of another dimension
                than those remembered, or ``camera_motion`` is no homography. The tracker is then as before.
        """
        if camera_motion is not None:
            check_camera_motion(camera_motion)
        went_back = self._memory.advance(time, detections.embeddings)
        if went_back or self._backdrops.embeddings.shape[1] != self._memory.embeddings.shape[1]:
            self._backdrops = _Backdrops.none(self._memory.embeddings.shape[1])
        if camera_motion is not None:
            self._memory.move(camera_motion)
            self._backdrops = self._backdrops.moved(camera_motion)
        self._backdrops = self._backdrops.since(time - self.config.backdrop_span - CLOCK_RESOLUTION)
        found = self._without_duplicates(detections)
        rows = np.full(len(found.boxes), _UNMATCHED)
        by_overlap = np.zeros(len(rows), bool)
        if len(self._memory) and len(rows):
            predicted = self._predicted_boxes()
            self._match(found, self._scores(found, predicted), rows)
            if self.config.recover_iou > 0:
                by_overlap = self._recover(found, predicted, rows)
        self._remember(found, rows, by_overlap)
        tracks = self._memory.observed(rows[rows >= 0])
        fresh = np.flatnonzero(rows == _UNMATCHED)
        fresh = fresh[~found.duplicates(fresh, self.config.backdrop_iou)]
        if len(fresh):  # an empty frame may come before the first embedding tells the dimension
            self._backdrops = self._backdrops.after(found, fresh, time)
        self._memory.expire()
        return tracks

    def remembered(self) -> Tracks:
        """The tracks not seen in the newest frame (state LOST), where they were last seen, moved on with the camera.

        Those whose detections score too little by now (``report_score``) are among them.
        """
        return self._memory.remembered()

    def _without_duplicates(self, detections: Detections) -> _Candidates:
        order = np.argsort(-detections.scores, kind="stable")
        boxes, scores = detections.boxes[order], detections.scores[order]
        ious = box_iou(boxes, boxes)
        weak = scores < self.config.object_score
        duplicate = suppressed(ious, np.where(weak, self.config.backdrop_iou, self.config.class_iou))
        ranks = np.flatnonzero(~duplicate)
        order = order[ranks]
        return _Candidates(
            boxes=boxes[ranks],
            scores=scores[ranks],
            labels=detections.labels[order],
            embeddings=detections.embeddings.take(order, axis=0),
            ious=ious,
            ranks=ranks,
        )

    def _predicted_boxes(self) -> Array:
        """Where the tracks (T, 4) should be by now, or where they were, if nothing asks for more."""
        memory, config = self._memory, self.config
        if config.motion == "none" and config.recover_iou == 0:
            return memory.boxes
        return predict_boxes(memory.boxes, memory.velocities, memory.gaps(), config.velocity_decay)

    def _scores(self, found: _Candidates, predicted: Array) -> Array:
        """Match scores (N, T + B) of detections with tracks and then backdrops."""
        config, tracks = self.config, len(self._memory)
        embeddings, entries = found.embeddings, (self._memory.embeddings, self._backdrops.embeddings)
        if config.metric == "cosine":
            embeddings, entries = unit(embeddings), (unit(entries[0]), unit(entries[1]))
        products = np.empty((tracks + len(entries[1]), len(embeddings)), np.float32)
        np.matmul(entries[0], embeddings.T, out=products[:tracks])
        np.matmul(entries[1], embeddings.T, out=products[tracks:])
        logits = np.ascontiguousarray(products.T)  # faster, with this copy, than the product in this order
        plausible = None
        if config.motion == "gate":
            distances, plausible = self._gate(found, predicted, logits)
            logits -= np.float32(config.prior) * distances
            if config.separate_classes:
                plausible &= found.labels[:, None] == self._entry_labels()
        if config.metric == "cosine":
            return logits if plausible is None else logits * plausible
        return (bisoftmax if config.metric == "bisoftmax" else row_softmax)(logits, plausible)

    def _entry_labels(self) -> Array:
        """Classes (T + B,) of tracks and then backdrops."""
        return np.concatenate([self._memory.labels, self._backdrops.labels])

    def _gate(self, found: _Candidates, predicted: Array, logits: Array) -> tuple[Array, Array]:
        """Squared distances (N, T + B) relative to the gate's widening, and the pairs inside the gate.

        A softmax over a single plausible pair is 1 however unlike the two are, hence the least cosine.
        """
        config = self.config
        gaps = self._memory.time - np.concatenate([self._memory.last_seen, self._backdrops.times])
        entries = np.concatenate([predicted, self._backdrops.boxes])
        distances = squared_distances(found.boxes, entries, (1 + config.gate_growth * gaps).astype(np.float32))
        plausible = distances <= config.gate**2
        if config.metric == "cosine":
            plausible &= logits >= config.gate_cosine
        elif found.embeddings.shape[1]:
            lengths = np.concatenate([norms(self._memory.embeddings), norms(self._backdrops.embeddings)])
            plausible &= logits >= np.float32(config.gate_cosine) * norms(found.embeddings)[:, None] * lengths
        return distances, plausible

    def _match(self, found: _Candidates, scores: Array, rows: Array) -> None:
        """Fill ``rows`` greedily, best detection first; a track is taken once, a backdrop as often as it wins.

        Without motion, as published: other classes count in the sums of the scores, and are ruled out here.
        """
        config, tracks = self.config, len(self._memory)
        # Few: nothing else can decide.
        likely, columns = np.divmod(np.flatnonzero(scores > config.match_score), scores.shape[1])
        if config.separate_classes:
            same = found.labels[likely] == self._entry_labels()[columns]
            likely, columns = likely[same], columns[same]
        values = scores[likely, columns]
        order = np.lexsort((-values, likely))
        strong = found.scores > config.object_score
        taken: set[int] = set()
        decided = -1
        for row, column, value in zip(
            likely[order].tolist(), columns[order].tolist(), values[order].tolist(), strict=True
        ):
            if row == decided or column in taken:
                continue
            decided = row
            if column >= tracks:
                continue
            if strong[row]:
                rows[row] = column
                taken.add(column)
            elif value > config.discard_score:
                rows[row] = _DROPPED

    def _recover(self, found: _Candidates, predicted: Array, rows: Array) -> Array:
        """Fill ``rows`` by overlap where appearance found nothing; returns which (N,)."""
        config, memory = self.config, self._memory
        left = np.flatnonzero((rows < 0) & (found.scores > config.recover_score))
        lost = memory.gaps() <= config.recover_span + CLOCK_RESOLUTION
        lost[rows[rows >= 0]] = False
        tracks = np.flatnonzero(lost)
        allowed = np.ones((len(left), len(tracks)), bool)
        if config.separate_classes:
            allowed = found.labels[left][:, None] == memory.labels[tracks]
        recovered = np.zeros(len(rows), bool)
        for row, column in recover_by_overlap(found.boxes[left], predicted[tracks], allowed, config.recover_iou):
            rows[left[row]] = tracks[column]
            recovered[left[row]] = True
        return recovered

    def _remember(self, found: _Candidates, rows: Array, by_overlap: Array) -> None:
        """Continue the tracks of ``rows`` and start new ones, whose rows are filled in."""
        which = np.flatnonzero(rows >= 0)
        if len(which):  # what overlap alone recovered is mostly half hidden: it would spoil the appearance
            self._memory.seen(
                rows[which],
                found.boxes[which],
                found.scores[which],
                found.labels[which],
                found.embeddings.take(which, axis=0),
                by_overlap[which],
            )
        new = np.flatnonzero((rows == _UNMATCHED) & (found.scores > self.config.init_score))
        if len(new):
            rows[new] = self._memory.born(found.boxes[new], found.scores[new], found.labels[new], found.embeddings[new])
