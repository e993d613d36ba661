"""The quasi-dense tracker for very many classes and sparse frames, as on TAO.

Paper: Pang et al., CVPR 2021, appendix; the steps and their thresholds follow the public implementation. Everything
detected is tracked, classes never mix, half of the match score is the cosine, and scores are smoothed along a track.
"""

from __future__ import annotations

import numpy as np

from qdtrack_model.boxes import box_iou
from qdtrack_model.config import TaoConfig
from qdtrack_model.structures import Array, Detections, Tracks
from qdtrack_model.tracking.camera_motion import check_camera_motion
from qdtrack_model.tracking.memory import TrackMemory
from qdtrack_model.tracking.similarity import bisoftmax, cosine, suppressed


class TaoTracker:
    """Gives detections of many classes ids that hold over time; ids and time as in :class:`QuasiDenseTracker`.

    Args:
        config: thresholds and the span of the memory, in the unit of the ``time`` given to :meth:`update`.
    """

    def __init__(self, config: TaoConfig | None = None) -> None:
        self._memory = TrackMemory()
        self.configure(config or TaoConfig())

    def configure(self, config: TaoConfig) -> None:
        """Go on with other settings; what is remembered stays, for as long as they say."""
        self.config = config
        self._memory.configure(config.memory_span, config.momentum, velocity_momentum=0.5)

    @property
    def next_id(self) -> int:
        """The id of the next track that is new."""
        return self._memory.next_id

    def reset(self, first_id: int = 0) -> None:
        """Forget everything, as if newly made; the next id is ``first_id``."""
        self._memory.clear(first_id)

    def update(self, detections: Detections, time: float, camera_motion: Array | None = None) -> Tracks:
        """Continue with the detections of one frame.

        Args:
            detections: of this frame; earlier rows choose first, as the detector ranks them.
            time: of this frame, mostly the number of the annotated frame; less than before resets the memory.
            camera_motion: as for :meth:`QuasiDenseTracker.update`; only where lost tracks are shown depends on it.

        Returns:
            The tracks observed in this frame in the order of their detections, each with the box of its detection and
            the smoothed score.

        Raises:
            ValueError: ``time`` is not finite or is that of the frame before, the embeddings are of another dimension
                than those remembered, or ``camera_motion`` is no homography. The tracker is then as before.
        """
        if camera_motion is not None:
            check_camera_motion(camera_motion)
        self._memory.advance(time, detections.embeddings)
        if camera_motion is not None:
            self._memory.move(camera_motion)
        kept = np.flatnonzero(~self._duplicates(detections))
        boxes, labels = detections.boxes[kept], detections.labels[kept]
        scores, embeddings = detections.scores[kept], detections.embeddings[kept]
        rows = self._match(scores, labels, embeddings)
        matched = np.flatnonzero(rows >= 0)
        if len(matched):
            weight = self.config.score_momentum
            scores[matched] = weight * scores[matched] + (1 - weight) * self._memory.scores[rows[matched]]
            self._memory.seen(rows[matched], boxes[matched], scores[matched], labels[matched], embeddings[matched])
        new = np.flatnonzero((rows < 0) & (scores > self.config.init_score))
        if len(new):
            rows[new] = self._memory.born(boxes[new], scores[new], labels[new], embeddings[new])
        tracks = self._memory.observed(rows[rows >= 0])
        self._memory.expire()
        return tracks

    def remembered(self) -> Tracks:
        """The tracks not seen in the newest frame (state LOST), where they were last seen, moved on with the camera."""
        return self._memory.remembered()

    def _duplicates(self, detections: Detections) -> Array:
        """Which weak detections (N,) overlap an earlier one of their class."""
        ious = box_iou(detections.boxes, detections.boxes)
        ious *= detections.labels[:, None] == detections.labels
        return suppressed(ious, self.config.duplicate_iou) & (detections.scores < self.config.duplicate_score)

    def _match(self, scores: Array, labels: Array, embeddings: Array) -> Array:
        """Memory row of each detection (N,), -1 for none; greedy in the order given."""
        memory, config = self._memory, self.config
        rows = np.full(len(scores), -1)
        if not len(memory) or not len(rows):
            return rows
        same_class = labels[:, None] == memory.labels
        similarity = bisoftmax(embeddings @ memory.embeddings.T, same_class)
        similarity = (similarity + cosine(embeddings, memory.embeddings) * same_class) / 2
        free = np.ones(len(memory), bool)
        eligible = (similarity.max(axis=1) > config.match_score) & (scores >= config.object_score)
        for row in np.flatnonzero(eligible).tolist():
            left = similarity[row] * free
            column = int(left.argmax())
            if left[column] > config.match_score:
                rows[row] = column
                free[column] = False
        return rows
