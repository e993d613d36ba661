"""MCAP with Foxglove's own schemas, as their publisher's package brings them: Foxglove and Lichtblick open it as it is.

| topic | schema |
|---|---|
| ``/CAMERA/image`` | ``foxglove.CompressedImage``, JPEG |
| ``/CAMERA/annotations`` | ``foxglove.ImageAnnotations``: boxes, captions and trails; switched on in an Image panel |
| ``/CAMERA/boxes3d`` | ``foxglove.SceneUpdate`` for a 3D panel, where there are boxes in space |
| ``/CAMERA/measures`` | JSON for a Plot panel: the number of tracks, and seconds of stages where known |
"""

from __future__ import annotations

import json
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any

from foxglove_schemas_protobuf.Color_pb2 import Color
from foxglove_schemas_protobuf.CompressedImage_pb2 import CompressedImage
from foxglove_schemas_protobuf.CubePrimitive_pb2 import CubePrimitive
from foxglove_schemas_protobuf.ImageAnnotations_pb2 import ImageAnnotations
from foxglove_schemas_protobuf.Point2_pb2 import Point2
from foxglove_schemas_protobuf.PointsAnnotation_pb2 import PointsAnnotation
from foxglove_schemas_protobuf.SceneEntity_pb2 import SceneEntity
from foxglove_schemas_protobuf.SceneUpdate_pb2 import SceneUpdate
from foxglove_schemas_protobuf.TextAnnotation_pb2 import TextAnnotation
from google.protobuf.timestamp_pb2 import Timestamp
from mcap.writer import Writer
from mcap_protobuf.schema import register_schema

from qdtrack_model.atomic import atomic_write
from qdtrack_model.drawing.overlay import colour_of, text_colour
from qdtrack_model.viewing.moments import Moment
from qdtrack_model.viewing.pictures import colour_of_name, jpeg

_MEASURES = "qdtrack.Measures"
_MEASURES_SCHEMA = {"title": _MEASURES, "type": "object", "additionalProperties": {"type": "number"}}
_LINE, _FONT = 1 / 400, 1 / 45  # thickness of lines and size of the font [image heights]
_LIFETIME = 500  # ms until a box in space goes that is not seen again
_FAINTEST = 0.25  # opacity of a trail's oldest part


class FoxgloveFile:
    """Writes an MCAP file that gets its name when all is written; a context manager."""

    def __init__(self, path: Path) -> None:
        self._resources = ExitStack()
        with self._resources:
            file = self._resources.enter_context(self._resources.enter_context(atomic_write(path)).open("wb"))
            self._writer = Writer(file)
            self._writer.start(library="qdtrack")
            self._resources = self._resources.pop_all()
        self._schemas: dict[str, int] = {}
        self._channels: dict[str, int] = {}

    def write(self, camera: str, moment: Moment) -> None:
        """Append what is known of one image.

        Raises:
            OSError: the disk is full.
        """
        time = Timestamp()
        time.FromNanoseconds(moment.nanoseconds)
        image = CompressedImage(timestamp=time, frame_id=camera, data=jpeg(moment.image), format="jpeg")
        self._write(f"/{camera}/image", image, moment)
        self._write(f"/{camera}/annotations", _annotations(moment, time), moment)
        if moment.boxes3d:
            self._write(f"/{camera}/boxes3d", _scene(moment, time), moment)
        self._write(f"/{camera}/measures", dict(moment.measures), moment)

    def _write(self, topic: str, message: Any, moment: Moment) -> None:
        kind = "json" if isinstance(message, dict) else "protobuf"
        if topic not in self._channels:
            self._channels[topic] = self._writer.register_channel(topic, kind, self._schema(message))
        data = json.dumps(message).encode() if isinstance(message, dict) else message.SerializeToString()
        time = moment.nanoseconds
        self._writer.add_message(self._channels[topic], log_time=time, data=data, publish_time=time)

    def _schema(self, message: Any) -> int:
        name = _MEASURES if isinstance(message, dict) else str(message.DESCRIPTOR.full_name)
        if name not in self._schemas:
            if isinstance(message, dict):
                made = self._writer.register_schema(name, "jsonschema", json.dumps(_MEASURES_SCHEMA).encode())
            else:
                made = register_schema(self._writer, type(message))
            self._schemas[name] = made
        return self._schemas[name]

    def __enter__(self) -> FoxgloveFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self._writer.finish()
        self._resources.__exit__(kind, error, trace)


def _annotations(moment: Moment, time: Timestamp) -> ImageAnnotations:
    height = moment.image.shape[0]
    made = ImageAnnotations()
    for identity, path in moment.trails.items():
        pieces = len(path) - 1
        shades = [_colour(identity, _FAINTEST + (1 - _FAINTEST) * piece / pieces) for piece in range(1, pieces + 1)]
        line = _line(PointsAnnotation.LINE_STRIP, path, identity, height, time)
        line.outline_colors.extend(shades)
        made.points.append(line)
    for identity, caption, box in zip(moment.ids.tolist(), moment.captions, moment.boxes, strict=True):
        x1, y1, x2, y2 = box.tolist()
        corners = [(x1, y1), (x2, y1), (x2, y2), (x1, y2)]
        made.points.append(_line(PointsAnnotation.LINE_LOOP, corners, identity, height, time))
        letters = Color(a=1.0, **dict.fromkeys("rgb", float(text_colour(colour_of(identity))[0] > 0)))
        made.texts.append(
            TextAnnotation(
                timestamp=time, position=Point2(x=x1, y=y1), text=caption, font_size=height * _FONT,
                text_color=letters, background_color=_colour(identity),
            )
        )  # fmt: skip
    return made


def _line(kind: Any, points: Any, identity: int, height: int, time: Timestamp) -> PointsAnnotation:
    return PointsAnnotation(
        timestamp=time, type=kind, points=[Point2(x=float(x), y=float(y)) for x, y in points],
        outline_color=_colour(identity), thickness=max(1.0, height * _LINE),
    )  # fmt: skip


def _scene(moment: Moment, time: Timestamp) -> SceneUpdate:
    """Each box is an entity of its id, until the next image replaces it."""
    update = SceneUpdate()
    for box in moment.boxes3d:
        cube = CubePrimitive()
        for field, values in (
            (cube.pose.position, box.centre),
            (cube.size, box.size),
            (cube.pose.orientation, box.turn),
        ):
            for axis, value in zip("xyzw", values, strict=False):
                setattr(field, axis, value)
        cube.color.CopyFrom(_mixed(colour_of_name(box.id), 0.6))
        entity = SceneEntity(timestamp=time, frame_id=box.frame_id, id=box.id, cubes=[cube])
        entity.lifetime.FromMilliseconds(_LIFETIME)
        update.entities.append(entity)
    return update


def _colour(identity: int, opacity: float = 1.0) -> Color:
    return _mixed(colour_of(identity), opacity)


def _mixed(colour: tuple[int, int, int], opacity: float) -> Color:
    blue, green, red = colour
    return Color(r=red / 255, g=green / 255, b=blue / 255, a=opacity)
