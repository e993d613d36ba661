"""The page that reports share: one HTML file with Plotly inside, which needs no network and no other file but videos.

Everything can be reached by keyboard, has a name for screen readers, and is there as text or table, too.
"""

from __future__ import annotations

import base64
import html
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from qdtrack_model.atomic import atomic_write

STYLE = """
:root { --ink: #1b2430; --soft: #4c5a6a; --line: #d3dbe4; --ground: #f5f7fa; --accent: #0b5cad; }
* { box-sizing: border-box; }
body { margin: 0; font: 15px/1.5 system-ui, "Segoe UI", "DejaVu Sans", sans-serif; color: var(--ink);
       background: var(--ground); }
main { max-width: 1240px; margin: 0 auto; padding: 24px 16px 64px; }
h1 { font-size: 26px; margin: 0 0 4px; overflow-wrap: anywhere; } h2 { font-size: 20px; margin: 40px 0 12px; }
h3 { font-size: 16px; margin: 24px 0 8px; } p { margin: 0 0 12px; } .soft { color: var(--soft); }
a { color: var(--accent); }
:focus-visible { outline: 3px solid #b34700; outline-offset: 2px; }
.skip { position: absolute; left: -999px; } .skip:focus { position: static; }
.tiles { display: grid; grid-template-columns: repeat(auto-fill, minmax(120px, 1fr)); gap: 10px; margin: 16px 0; }
.tile { background: #fff; border: 1px solid var(--line); border-radius: 8px; padding: 8px 12px; font-size: 13.5px; }
.tile b { display: block; font-size: 20px; font-variant-numeric: tabular-nums; }
.panel { background: #fff; border: 1px solid var(--line); border-radius: 8px; padding: 12px; margin: 0 0 16px; }
.wide { overflow: auto; max-height: 480px; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; font-size: 14px; }
th, td { padding: 4px 10px; border-bottom: 1px solid var(--line); text-align: right; white-space: nowrap; }
th:first-child, td:first-child, th.text, td.text { text-align: left; }
td.text { white-space: normal; min-width: 180px; }
caption { text-align: left; color: var(--soft); padding-bottom: 6px; }
figure { margin: 0 0 16px; } figcaption { color: var(--soft); font-size: 13.5px; padding-top: 6px; }
.watch { display: grid; grid-template-columns: minmax(0, 3fr) minmax(0, 2fr); gap: 16px; }
.pair { display: grid; grid-template-columns: repeat(2, minmax(0, 1fr)); gap: 16px; }
@media (max-width: 900px) { .watch, .pair { grid-template-columns: minmax(0, 1fr); } }
video { width: 100%; background: #000; border-radius: 6px; }
.moments { list-style: none; margin: 0; padding: 0; overflow: auto; max-height: 560px; }
.moments li { border-bottom: 1px solid var(--line); padding: 8px 4px; overflow: hidden; }
.moments img { width: 96px; height: 96px; border-radius: 4px; margin: 4px 6px 0 0; }
.bags { columns: 220px; margin: 0; padding-left: 20px; } .bags a { display: inline-block; padding: 4px 0; }
button { font: inherit; color: #fff; background: var(--accent); border: 0; border-radius: 6px; padding: 4px 12px;
         min-height: 28px; cursor: pointer; }
summary { cursor: pointer; padding: 4px 0; } code { background: #e4eaf1; border-radius: 4px; padding: 1px 5px; }
.plot { width: 100%; }
"""

_SCRIPT = """
function play(name, seconds) {
  for (const video of document.querySelectorAll(`video[data-of="${CSS.escape(name)}"]`)) {
    video.currentTime = Math.max(0, seconds - 1);
    video.play().catch(() => {});
  }
  const first = document.querySelector(`video[data-of="${CSS.escape(name)}"]`);
  if (first) first.scrollIntoView({block: "nearest"});
}
document.addEventListener("click", event => {
  const button = event.target.closest("button[data-seconds]");
  if (button) play(button.dataset.of, Number(button.dataset.seconds));
});
for (const pair of document.querySelectorAll(".pair")) {
  const videos = [...pair.querySelectorAll("video")];
  for (const one of videos) for (const other of videos) if (one !== other) {
    one.addEventListener("play", () => { other.currentTime = one.currentTime; other.play().catch(() => {}); });
    one.addEventListener("pause", () => { other.pause(); other.currentTime = one.currentTime; });
  }
}
for (const [id, figure] of Object.entries(JSON.parse(document.getElementById("figures").textContent))) {
  const place = document.getElementById(id);
  Plotly.newPlot(place, figure.data, figure.layout, {responsive: true, displayModeBar: false});
  if (place.dataset.of) place.on("plotly_click", event => {
    const point = event.points[0];
    play(place.dataset.of, point.customdata === undefined ? point.x : point.customdata);
  });
}
"""


class ReportError(ValueError):
    """A report that cannot be written; the text says what is missing."""


class Page:
    """Collects the body of a page and its figures.

    Args:
        title: of the page.
    """

    def __init__(self, title: str) -> None:
        self._title = title
        self._parts: list[str] = []
        self._figures: dict[str, Any] = {}

    def add(self, *parts: str) -> None:
        """Append HTML."""
        self._parts += parts

    def plot(self, figure: Any, name: str, caption: str, video: str = "") -> str:
        """The HTML of a figure with its caption; a click on a point plays the ``video`` of that sequence there."""
        place = f"figure-{len(self._figures)}"
        self._figures[place] = figure
        of = f' data-of="{html.escape(video)}"' if video else ""
        return (
            f'<figure class="panel"><div class="plot" id="{place}"{of} role="img" aria-label="{html.escape(name)}">'
            f"</div><figcaption>{html.escape(caption)}</figcaption></figure>"
        )

    def write(self, path: Path) -> None:
        """Write the page.

        Raises:
            ReportError: Plotly is not installed.
        """
        try:
            from plotly.offline import get_plotlyjs
        except ModuleNotFoundError:
            raise ReportError("reports need Plotly: pip install 'qdtrack[report]'") from None
        data = json.dumps(self._figures, separators=(",", ":")).replace("<", "\\u003c")
        text = (
            '<!doctype html><html lang="en"><head><meta charset="utf-8">'
            '<meta name="viewport" content="width=device-width, initial-scale=1">'
            f"<title>{html.escape(self._title)}</title><style>{STYLE}</style>"
            f'</head><body><a class="skip" href="#main">To the content</a><main id="main">{"".join(self._parts)}</main>'
            f"<script>{get_plotlyjs()}</script>"
            f'<script type="application/json" id="figures">{data}</script><script>{_SCRIPT}</script></body></html>\n'
        )
        with atomic_write(path) as partial:
            partial.write_text(text, encoding="utf-8")


def tiles(values: Iterable[tuple[str, str]]) -> str:
    """Large numbers with their names."""
    cells = (f'<div class="tile">{html.escape(name)}<b>{html.escape(value)}</b></div>' for name, value in values)
    return f'<div class="tiles">{"".join(cells)}</div>'


def table(caption: str, header: Sequence[str], rows: Iterable[Sequence[object]], text: Sequence[int] = ()) -> str:
    """A table that scrolls where it is wide; ``text`` are the columns of sentences."""
    head = "".join(
        f'<th scope="col"{" class=text" if place in text else ""}>{html.escape(cell)}</th>'
        for place, cell in enumerate(header)
    )
    body = "".join(
        "<tr>"
        + "".join(
            f"<td{' class=text' if place in text else ''}>{html.escape(str(cell))}</td>"
            for place, cell in enumerate(row)
        )
        + "</tr>"
        for row in rows
    )
    return (
        f'<div class="panel wide" tabindex="0" role="region" aria-label="{html.escape(caption)}"><table>'
        f"<caption>{html.escape(caption)}</caption><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def folded(summary: str, content: str) -> str:
    """What is shown when somebody asks for it."""
    return f"<details><summary>{html.escape(summary)}</summary>{content}</details>"


def video(of: str, source: str, name: str) -> str:
    """A video beside the page; ``of`` is what :meth:`Page.plot` calls it."""
    return (
        f'<video controls muted playsinline preload="metadata" data-of="{html.escape(of)}" '
        f'aria-label="{html.escape(name)}" src="{html.escape(source)}"></video>'
    )


def play_button(of: str, seconds: float, what: str) -> str:
    """A button that plays a video from a second before a moment on."""
    return (
        f'<button type="button" data-of="{html.escape(of)}" data-seconds="{seconds:.3f}" '
        f'aria-label="Play at {seconds:.1f} s: {html.escape(what)}">&#9654; {seconds:.1f} s</button>'
    )


def picture(path: Path, name: str) -> str:
    """A JPEG inside the page; nothing where it is not there."""
    if not path.is_file():
        return ""
    data = base64.b64encode(path.read_bytes()).decode()
    return f'<img alt="{html.escape(name)}" src="data:image/jpeg;base64,{data}">'
