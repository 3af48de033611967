"""The front on the page of the service, in a real browser: what is drawn of it, and how a point is taken away."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.search.service.browsing import Opener, choose, chosen, exported, front_of, place, plot, slider
from tests.search.service.surroundings import Running

pytestmark = [pytest.mark.cluster, pytest.mark.xdist_group("service")]


def dots(page: Page, *, faint: bool) -> dict[str, tuple[float, float]]:
    """What is drawn of trials, faint or bold: quality and interval."""
    found = {}
    for trace in front_of(page).evaluate("element => element.data"):
        if "customdata" in trace and ("opacity" in trace["marker"]) == faint:
            values = zip(trace["y"], trace["error_y"]["array"], strict=True)
            found |= dict(zip(trace["customdata"], values, strict=True))
    return found


def test_the_confirmed_front_with_its_intervals_comes_first_among_all_trials(
    open_page: Opener, service: Running, confirmed: str
) -> None:
    page = open_page(f"#/searches/{confirmed}")
    expect(page.get_by_text("mean and standard deviation")).to_be_visible()
    expect(page.get_by_role("radio", name="confirmed")).to_be_checked()
    bars = page.locator(".plot path.yerror")
    expect(bars.first).to_be_visible()
    points = service.client.front(confirmed, confirmed=True).front
    spreads = [point.confirmed_std for point in points]
    assert spreads
    assert all(spreads)
    assert dots(page, faint=False) == {one.trial: (one.confirmed_quality, one.confirmed_std) for one in points}
    expect(bars).to_have_count(len(points))
    trials = service.client.trials(confirmed).trials
    assert dots(page, faint=True) == {one.trial: (one.quality, 0) for one in trials}
    expect(page.get_by_role("article").get_by_text("±")).to_be_visible()

    page.get_by_role("radio", name="one training").check(force=True)
    expect(page.get_by_text("Every point was trained once")).to_be_visible()
    expect(bars).to_have_count(0)
    own = service.client.front(confirmed).front
    assert dots(page, faint=False) == {one.trial: (one.quality, 0) for one in own}
    assert dots(page, faint=True).keys() | dots(page, faint=False).keys() == {one.trial for one in trials}


def test_the_picture_has_a_logarithmic_axis_the_budget_and_the_knee(
    open_page: Opener, service: Running, second: str
) -> None:
    status = service.client.status(second)
    assert status.budget is not None
    assert status.knee is not None
    budget = status.budget.parameters
    page = open_page(f"#/searches/{second}")
    expect(plot(page)).to_be_visible()
    notes = page.locator(".plot .annotation-text")
    expect(notes.filter(has_text=f"budget {budget:,}")).to_be_visible()
    layout = front_of(page).evaluate("element => element.layout")
    assert layout["xaxis"]["type"] == "log"
    assert budget in [line["x0"] for line in layout["shapes"]]
    (knee,) = [note for note in layout["annotations"] if note["text"] == "knee"]
    assert 10 ** knee["x"] == pytest.approx(status.knee.trainable_parameters)
    assert knee["y"] == status.knee.quality


def test_a_point_tells_its_settings_and_is_chosen_by_a_click(open_page: Opener, service: Running, second: str) -> None:
    point = service.client.front(second).front[0]
    called = f"{point.trial} {point.method}"
    page = open_page(f"#/searches/{second}", viewport={"width": 1280, "height": 1600})
    expect(plot(page)).to_be_visible()
    expect(chosen(page)).not_to_have_text(called)
    x, y = place(page, point.trainable_parameters, point.quality)
    page.mouse.move(x, y, steps=3)
    label = page.locator(".hoverlayer .hovertext")
    expect(label).to_contain_text(called)
    for knob in point.config:
        expect(label).to_contain_text(f"{knob} = ")
    page.mouse.click(x, y)
    expect(chosen(page)).to_have_text(called)
    size = f"{point.trainable_parameters:,}"
    expect(slider(page)).to_have_attribute("aria-valuetext", re.compile(f"^{size} parameters: {called}"))


def test_a_low_rank_stand_in_has_the_rank_that_is_asked_for(
    open_page: Opener, service: Running, finished: str, tmp_path: Path
) -> None:
    knee = service.client.status(finished).knee
    assert knee is not None
    page = open_page(f"#/searches/{finished}")
    expect(plot(page)).to_be_visible()
    page.get_by_role("radio", name="one training").check(force=True)
    expect(page.get_by_text("Every point was trained once")).to_be_visible()
    choose(page, knee.trainable_parameters)
    expect(chosen(page)).to_have_text(f"{knee.trial} {knee.method}")
    rank = page.get_by_label("Rank", exact=True)
    expect(rank).to_be_hidden()
    page.get_by_label("Format", exact=True).select_option("lora")
    expect(rank).to_have_value("8")
    rank.fill("1.5")
    page.get_by_role("button", name="Export").click()
    expect(page.get_by_text("rank 1.5: no rank; allowed: a whole number")).to_be_visible()
    rank.fill("2")
    folder = f"{finished}-{knee.trial}-lora-2"
    assert exported(page, tmp_path) == f"{folder}.zip"
    assert json.loads((tmp_path / folder / "adapter_config.json").read_text())["r"] == 2
    expect(page.locator("pre code")).to_contain_text(f'"{folder}"')


def test_how_to_load_it_is_said_for_the_format_and_copied(open_page: Opener, second: str) -> None:
    page = open_page(f"#/searches/{second}", permissions=["clipboard-read", "clipboard-write"])
    page.get_by_text("How to load it").click()
    snippet = page.locator("pre code")
    expect(snippet).to_contain_text("PeftModel.from_pretrained")
    expect(snippet).to_contain_text("register_tuners")
    page.get_by_label("Format", exact=True).select_option("stock")
    expect(snippet).not_to_contain_text("register_tuners")
    page.get_by_label("Format", exact=True).select_option("merged")
    expect(snippet).not_to_contain_text("PeftModel")
    page.get_by_role("button", name="Copy").click()
    expect(page.get_by_text("Copied.")).to_be_visible()
    assert page.evaluate("navigator.clipboard.readText()") == snippet.text_content()
