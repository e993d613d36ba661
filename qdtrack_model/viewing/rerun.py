"""Recordings in Rerun: a 2-D view of each camera, plots, and a 3-D view where there are boxes in space."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType

import numpy as np
import rerun as rr
import rerun.blueprint as rrb

from qdtrack_model.atomic import atomic_write
from qdtrack_model.drawing.overlay import Colour, colour_of
from qdtrack_model.viewing.moments import Moment
from qdtrack_model.viewing.pictures import colour_of_name, jpeg


class RerunRecording:
    """Writes an .rrd file that gets its name when all is written, or opens the viewer; a context manager.

    Args:
        path: of the file; None opens the viewer instead.
        cameras: names of all cameras, for the layout.
    """

    def __init__(self, path: Path | None, cameras: Sequence[str]) -> None:
        self._recording = rr.RecordingStream("qdtrack")
        self._resources = ExitStack()
        if path is not None:
            self._recording.save(self._resources.enter_context(atomic_write(path)))
        else:
            self._recording.spawn()
        self._cameras = cameras
        self._spaces: set[str] = set()

    def write(self, camera: str, moment: Moment) -> None:
        """Append what is known of one image."""
        recording = self._recording
        recording.set_time("frame", sequence=moment.frame)
        nanoseconds = np.int64(moment.nanoseconds)
        if moment.is_stamped:
            recording.set_time("time", timestamp=nanoseconds.astype("datetime64[ns]"))
        else:
            recording.set_time("time", duration=nanoseconds.astype("timedelta64[ns]"))
        recording.log(f"{camera}/image", rr.EncodedImage(contents=jpeg(moment.image), media_type="image/jpeg"))
        colours = [_rgb(colour_of(identity)) for identity in moment.ids.tolist()]
        boxes = rr.Boxes2D(array=moment.boxes, array_format=rr.Box2DFormat.XYXY, colors=colours)
        recording.log(f"{camera}/image/tracks", boxes)
        # Labels of boxes are broken to the boxes' width, those of points are not.
        feet = np.stack([moment.boxes[:, [0, 2]].mean(axis=1), moment.boxes[:, 3]], axis=1)
        names = rr.Points2D(feet, radii=0.0, labels=moment.captions, colors=colours, show_labels=True)
        recording.log(f"{camera}/image/names", names)
        trails = rr.LineStrips2D(list(moment.trails.values()), colors=[_rgb(colour_of(one)) for one in moment.trails])
        recording.log(f"{camera}/image/trails", trails)
        for name, value in moment.measures.items():
            recording.log(f"{camera}/measures/{name.partition(' ')[0]}", rr.Scalars(value))
        self._write_space(camera, moment)

    def _write_space(self, camera: str, moment: Moment) -> None:
        if not (moment.boxes3d or camera in self._spaces):
            return
        self._spaces.add(camera)
        boxes = moment.boxes3d
        self._recording.log(
            f"{camera}/space",
            rr.Boxes3D(
                centers=[box.centre for box in boxes], sizes=[box.size for box in boxes],
                quaternions=[rr.Quaternion(xyzw=box.turn) for box in boxes],
                labels=[f"{box.name} {box.id}" for box in boxes],
                colors=[_rgb(colour_of_name(box.id)) for box in boxes],
            ),
        )  # fmt: skip

    def __enter__(self) -> RerunRecording:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        spaces = [rrb.Spatial3DView(origin=f"{camera}/space", name=f"{camera} in space") for camera in self._spaces]
        self._recording.send_blueprint(rrb.Blueprint(rrb.Grid(*map(_layout, self._cameras), *spaces)))
        self._recording.disconnect()  # all is written now
        self._resources.__exit__(kind, error, trace)


def _layout(camera: str) -> rrb.Vertical:
    """The images above the plots."""
    return rrb.Vertical(
        rrb.Spatial2DView(origin=f"{camera}/image", name=camera),
        rrb.TimeSeriesView(origin=f"{camera}/measures", name=f"{camera}: tracks and milliseconds"),
        row_shares=[3, 1],
    )


def _rgb(colour: Colour) -> tuple[int, int, int]:
    blue, green, red = colour
    return red, green, blue
