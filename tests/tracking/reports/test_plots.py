"""The files that are drawn: they are what they say, and stand alone."""

from __future__ import annotations

import dataclasses
import json
import shutil
import warnings
from pathlib import Path
from typing import Any

import matplotlib.image
import numpy as np
import pytest
from playwright.sync_api import sync_playwright

from spaces.model.budget import Budget
from tests.tracking.examples import REFERENCE, documents, search_row, trial_row
from tracking.documents.building import build_front, build_trials
from tracking.mlflow_store.run_records import TrialRun
from tracking.reports.plots import front_html, front_png

TRIALS = [
    REFERENCE,
    trial_row("0000", 0.6, 100),
    trial_row("0001", 0.75, 2000, confirmed_quality=0.74, confirmed_std=0.01),
    trial_row("0002", 0.7, 3000),
]


def drawn(page: str) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Traces and layout of the only figure in a page."""
    decoder = json.JSONDecoder()
    start = page.index("[", page.rindex("Plotly.newPlot("))
    traces, length = decoder.raw_decode(page[start:])
    layout, _ = decoder.raw_decode(page[page.index("{", start + length) :])
    return traces, layout


def test_the_page_stands_alone_and_shows_everything(tmp_path: Path) -> None:
    front_html(*documents(TRIALS), tmp_path / "front.html")
    page = (tmp_path / "front.html").read_text(encoding="utf-8")
    assert "<script src=" not in page
    assert len(page) > 3_000_000  # Plotly's script
    traces, layout = drawn(page)
    faint, line, bold = traces
    assert len(faint["hovertext"]) == 3
    assert len(bold["hovertext"]) == 2
    assert "<b>0001 lora</b>" in bold["hovertext"][1]
    assert "rank = 2" in bold["hovertext"][1]
    assert "2,000 · 75.0%" in bold["hovertext"][1]
    assert line["line"]["shape"] == "hv"
    assert layout["xaxis"]["type"] == "log"
    assert layout["title"]["text"] == "demo"
    assert {one["text"] for one in layout["annotations"]} == {"budget 50,000", "head alone 50.0%", "knee"}
    assert layout["shapes"][0]["x0"] == 50_000
    assert layout["annotations"][0]["x"] == pytest.approx(np.log10(50_000))


@pytest.mark.parametrize("trials", [TRIALS, TRIALS[:2], [REFERENCE], []], ids=["several", "one", "none", "nothing"])
@pytest.mark.parametrize("metric", ["accuracy", "loss"])
def test_the_image_has_its_size_and_ink(tmp_path: Path, trials: list[TrialRun], metric: str) -> None:
    front_png(*documents(trials, metric), tmp_path / "front.png")
    pixels = matplotlib.image.imread(tmp_path / "front.png")
    assert pixels.shape[:2] == (900, 1500)
    assert (pixels[..., :3] < 0.5).any()


def test_a_method_has_its_colour_in_the_image(tmp_path: Path) -> None:
    front_png(*documents(TRIALS), tmp_path / "front.png")
    pixels = matplotlib.image.imread(tmp_path / "front.png")[..., :3]
    blue = np.array([0x00, 0x72, 0xB2]) / 255
    assert (np.abs(pixels - blue).max(axis=2) < 0.02).sum() > 200


def test_the_confirmed_front_over_stored_parameters(tmp_path: Path) -> None:
    front = build_front(search_row(), TRIALS, confirmed=True, axis="stored")
    found = build_trials(search_row(), TRIALS)
    front_png(front, found, tmp_path / "front.png", confirmed=True, axis="stored")
    front_html(front, found, tmp_path / "front.html", confirmed=True, axis="stored")
    traces, layout = drawn((tmp_path / "front.html").read_text(encoding="utf-8"))
    assert (traces[-1]["x"], traces[-1]["y"], traces[-1]["error_y"]["array"]) == ([1000], [0.74], [0.01])
    assert layout["xaxis"]["title"]["text"] == "stored parameters of the adapter"
    assert layout["yaxis"]["title"]["text"] == "accuracy on validation, confirmed"


def test_a_search_whose_budget_is_one_size_is_drawn_without_a_warning(tmp_path: Path) -> None:
    search = search_row()
    search = dataclasses.replace(search, facts=search.facts.model_copy(update={"budget": Budget(1, 1)}))
    trials = [REFERENCE, trial_row("0000", 0.5, 1)]
    front = build_front(search, trials, confirmed=False, axis="trainable")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        front_png(front, build_trials(search, trials), tmp_path / "front.png")
        front_html(front, build_trials(search, trials), tmp_path / "front.html")


def test_on_a_phone_the_page_is_as_wide_as_the_screen(tmp_path: Path) -> None:
    """In Chromium as on a phone, where a page without a viewport is laid out for 980 pixels."""
    names = ["lora", "sparta", "dst", "surm-circulant", "surm-kronecker", "surm-toeplitz", "surm-ldr", "bitfit"]
    trials = [
        dataclasses.replace(one, plan=one.plan.model_copy(update={"method": name}))
        for name, one in zip(names, (trial_row(f"{n:04d}", 0.6 + n / 50, 100 * 2**n) for n in range(8)), strict=True)
    ]
    front_html(*documents([REFERENCE, *trials]), tmp_path / "front.html")
    with sync_playwright() as player:
        browser = player.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 360, "height": 740}, is_mobile=True, has_touch=True)
        page.goto((tmp_path / "front.html").as_uri())
        page.locator(".main-svg").first.wait_for()
        assert page.evaluate("innerWidth") == 360
        assert page.evaluate("document.documentElement.scrollWidth") <= 360
        boxes = [one.bounding_box() for one in page.locator(".main-svg, .legend").all()]
        assert all(box is not None and box["x"] >= 0 and box["x"] + box["width"] <= 360 for box in boxes)
        # What is left for the picture itself is most of the screen.
        assert page.locator(".nsewdrag").first.bounding_box()["width"] > 240  # type: ignore[index]
        browser.close()
