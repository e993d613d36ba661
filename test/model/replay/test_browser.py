"""The report in a real browser, at desktop and phone width, from a file, without a network; where one is installed."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from qdtrack_model.fleet.listing import Listed
from qdtrack_model.pipeline import Pipeline
from qdtrack_model.replay.comparison import compare
from qdtrack_model.replay.lockstep import replay_bag, settings_of
from qdtrack_model.replay.pages.comparison import write_comparison
from qdtrack_model.replay.pages.report import write_report
from qdtrack_model.replay.pages.tuning import write_tuning
from qdtrack_model.replay.pictures import write_pictures
from qdtrack_model.replay.run import Run, RunWriter
from qdtrack_model.replay.tuning import tune

playwright = pytest.importorskip("playwright.sync_api", reason="needs a browser: pip install playwright, and Chromium")

AXE = Path(__file__).parents[3] / "node_modules" / "axe-core" / "axe.min.js"
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
WIDTHS = {"desktop": 1280, "phone": 390}
DRAWN = "[...document.querySelectorAll('.plot')].every(plot => plot.querySelector('.main-svg'))"

Bags, Replayed = Callable[..., Path], Callable[..., Run]


@pytest.fixture
def run(squares_bag: Bags, replayed: Replayed) -> Run:
    """A run with an ID switch and its pictures."""
    run = replayed(squares_bag(frames=40, hidden=range(10, 26)))
    write_pictures(run)
    return run


@pytest.fixture
def browser() -> Iterator[Any]:
    if CHROMIUM is None:
        pytest.skip("Chromium is not installed")
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        yield browser
        browser.close()


def opened(browser: Any, path: Path, width: int) -> Any:
    """The page with its figures drawn, which raised nothing and is no wider than the screen."""
    page = browser.new_context(viewport={"width": width, "height": 800}, offline=True).new_page()
    page.set_default_timeout(120_000)
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    page.goto(path.as_uri())
    page.wait_for_function(DRAWN)
    assert errors == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    return page


@pytest.mark.slow
def test_the_report_is_drawn_and_played_by_keyboard(browser: Any, run: Run) -> None:
    path = write_report(run)
    for width in WIDTHS.values():
        page = opened(browser, path, width)
        for _ in range(40):
            page.keyboard.press("Tab")
            if seconds := page.evaluate("document.activeElement.dataset.seconds"):
                break
        page.keyboard.press("Enter")
        page.wait_for_function(f"document.querySelector('video').currentTime >= {float(seconds) - 1}")


@pytest.mark.slow
@pytest.mark.skipif(not AXE.is_file(), reason="needs axe-core: npm install axe-core, in the checkout")
def test_the_pages_have_no_violations_of_accessibility(browser: Any, run: Run) -> None:
    report, comparison = write_report(run), run.folder / "comparison.html"
    write_comparison(comparison, run, run, compare(run, run, 1.0))
    check_accessibility(browser, [report, comparison])


@pytest.mark.slow
@pytest.mark.skipif(not AXE.is_file(), reason="needs axe-core: npm install axe-core, in the checkout")
def test_nor_have_those_of_many_bags_and_of_tuning(
    browser: Any, squares_bag: Bags, pipeline: Pipeline, tmp_path: Path
) -> None:
    pytest.importorskip("optuna", reason="Optuna is not installed: pip install 'qdtrack[tune]'")
    writer = RunWriter(tmp_path / "run", settings_of(pipeline, "blobs"))
    for name, hidden, day in (("first", range(10, 18), "monday"), ("second", range(0), "tuesday")):
        bag = Listed(str(squares_bag(name, frames=20, hidden=hidden)), name, {"day": day})
        replay_bag(bag, None, "auto", pipeline, writer, lambda name: None)
    writer.write()
    run = Run.read(tmp_path / "run")
    write_tuning(tmp_path / "tuning.html", tune([run], tmp_path / "tuning", "idf1", trials=3))
    check_accessibility(browser, [write_report(run, apart=True), tmp_path / "tuning.html"])


def check_accessibility(browser: Any, paths: list[Path]) -> None:
    """Look for violations by axe-core, at both widths."""
    for path in paths:
        for width in WIDTHS.values():
            page = opened(browser, path, width)
            page.evaluate(AXE.read_text(encoding="utf-8"))
            found = page.evaluate("axe.run(document, {resultTypes: ['violations']})")["violations"]
            assert [(one["id"], one["nodes"][0]["html"][:200]) for one in found] == []
