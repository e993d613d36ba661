"""The demonstration's report: one HTML file that holds everything, and the overlay video."""

from __future__ import annotations

import base64
import html
from dataclasses import dataclass
from pathlib import Path

import cv2

from qdtrack_model.data.bags import read_images
from qdtrack_model.drawing.overlay import Trails, draw
from qdtrack_model.drawing.video import VideoWriter
from qdtrack_model.structures import Array, Tracks
from qdtrack_ros.demo import plots
from qdtrack_ros.demo.results import DemoResults
from qdtrack_ros.output.conversions import OVERLAY_QUALITY

_KEY_FRAMES = 6
_KEY_FRAME_WIDTH = 960
_TRAIL = 40  # images

_STYLE = """
:root { --ink: #1b2430; --soft: #5c6b7d; --line: #dfe5ec; --ground: #f5f7fa; --accent: #1565c0; }
* { box-sizing: border-box; }
body { margin: 0; font: 15px/1.5 system-ui, "Segoe UI", "DejaVu Sans", sans-serif; color: var(--ink);
       background: var(--ground); }
main { max-width: 1160px; margin: 0 auto; padding: 32px 24px 64px; }
h1 { font-size: 26px; margin: 0 0 4px; } h2 { font-size: 18px; margin: 36px 0 12px; }
p { margin: 0 0 12px; } .soft { color: var(--soft); }
.tiles { display: grid; grid-template-columns: repeat(auto-fill, minmax(140px, 1fr)); gap: 12px; margin-top: 20px; }
.tile { background: #fff; border: 1px solid var(--line); border-radius: 8px; padding: 10px 14px;
        font-size: 13.5px; white-space: nowrap; }
.tile b { display: block; font-size: 20px; font-weight: 600; font-variant-numeric: tabular-nums; }
.tile.lead b { color: var(--accent); }
figure { margin: 0 0 16px; background: #fff; border: 1px solid var(--line); border-radius: 8px; padding: 12px; }
figure img { display: block; width: 100%; border-radius: 4px; }
figcaption { color: var(--soft); font-size: 13.5px; padding-top: 8px; }
.pair { display: grid; grid-template-columns: repeat(auto-fill, minmax(440px, 1fr)); gap: 16px; }
.pair figure { margin: 0; }
code { background: #e9eef4; border-radius: 4px; padding: 1px 5px; font-size: 13px; }
"""


@dataclass(frozen=True, eq=False)
class KeyFrame:
    """An image with its tracks drawn in, for the report."""

    number: int
    seconds: float  # from the first image
    tracks: int
    jpeg: bytes


def write_overlay_video(results: DemoResults, path: Path) -> list[KeyFrame]:
    """Write the played images with what came back drawn in, and pick key frames on the way.

    An image whose tracks were lost is shown without any.
    """
    stamps = list(results.sent)
    wanted = {int((part + 0.5) * len(stamps) / _KEY_FRAMES) for part in range(_KEY_FRAMES)}
    trails = Trails(_TRAIL)
    frames = []
    with VideoWriter(path, results.material.frame_rate) as writer:
        images = read_images(results.material.bag, results.material.topic)
        for index, (stamp, (_, _, image)) in enumerate(zip(stamps, images, strict=False)):
            received = results.received.get(stamp)
            tracks = received.tracks if received is not None else Tracks.empty()
            trails.extend(tracks)
            drawn = draw(image, tracks, results.classes, trails)
            seconds = (stamp - stamps[0]) * 1e-9
            writer.write(drawn, seconds)
            if index in wanted:
                number = results.material.frame_of[stamp]
                frames.append(KeyFrame(number, seconds, len(tracks), _jpeg(drawn)))
    return frames


def _jpeg(image: Array) -> bytes:
    height, width = image.shape[:2]
    if width > _KEY_FRAME_WIDTH:
        size = (_KEY_FRAME_WIDTH, round(height * _KEY_FRAME_WIDTH / width))
        image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    return bytes(cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, OVERLAY_QUALITY])[1].tobytes())


def write_report(results: DemoResults, key_frames: list[KeyFrame], path: Path) -> None:
    """Write the report; it needs no other file and no network."""
    material = results.material
    tiles = "".join(
        f'<div class="tile{" lead" if label in ("MOTA", "IDF1", "HOTA") else ""}"><span class="soft">'
        f"{html.escape(label)}</span><b>{html.escape(value)}</b></div>"
        for label, value in results.table()
    )
    scored = f"<p>{html.escape(results.advice())} {html.escape(results.scoring())}</p>"
    path.write_text(
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>qdtrack: {html.escape(material.title)}'
        f"</title><style>{_STYLE}</style></head><body><main>"
        f"<h1>{html.escape(material.title)}</h1>"
        f'<p class="soft">{len(results.sent)} images at {material.frame_rate:g} frames/s, played as '
        f"<code>sensor_msgs/CompressedImage</code> into the tracker node in another process, weights "
        f"<code>{html.escape(results.weights)}</code>. Latency: from publishing an image to having its tracks.</p>"
        f'{scored}<div class="tiles">{tiles}</div>'
        f"<h2>Key frames</h2>{_key_frames(key_frames)}<h2>Over time</h2>{_plots(results)}"
        f'<p class="soft">Beside this file: <code>overlay.mp4</code> (all images), <code>tracks.txt</code> '
        f"(MOTChallenge columns), <code>node.log</code>, <code>bag/</code>.</p></main></body></html>\n",
        encoding="utf-8",
    )


def _key_frames(frames: list[KeyFrame]) -> str:
    return (
        '<div class="pair">'
        + "".join(
            _figure(frame.jpeg, "jpeg", f"Frame {frame.number}, {frame.seconds:.1f} s, tracks: {frame.tracks}")
            for frame in frames
        )
        + "</div>"
    )


def _plots(results: DemoResults) -> str:
    figures = [
        (
            plots.latency(results),
            "Latency of every image. Above the dashed line an image takes longer than the camera's period; "
            "a lost image is marked at the bottom.",
        ),
        (plots.alive(results), "Tracks published for each image, and objects in the ground truth."),
    ]
    if results.material.ground_truth is not None:
        figures.append(
            (
                plots.identities(results),
                "One row for each object of the ground truth, coloured by the track on it (IoU of .5 or more): a "
                "change of colour is a change of id, grey is an object missed, no mark one that is not there.",
            )
        )
    return "".join(_figure(data, "png", caption) for data, caption in figures)


def _figure(data: bytes, kind: str, caption: str) -> str:
    source = base64.b64encode(data).decode()
    return (
        f'<figure><img alt="{html.escape(caption)}" src="data:image/{kind};base64,{source}">'
        f"<figcaption>{html.escape(caption)}</figcaption></figure>"
    )
