"""The page of the service in a real browser."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.search.service.browsing import LONG, Opener, choose, chosen, exported, plot, slider, texts
from tests.search.service.surroundings import Running

pytestmark = [pytest.mark.cluster, pytest.mark.xdist_group("service")]


@pytest.fixture(scope="module")
def names(finished: str, second: str) -> list[str]:
    """Searches that ran to their end, with fronts of their own."""
    return [second, finished]


def test_from_the_list_to_a_point_its_curve_and_its_export(open_page: Opener, names: list[str], tmp_path: Path) -> None:
    page = open_page("")
    page.get_by_label("Name contains").fill(names[0])
    page.get_by_role("link", name=names[0], exact=True).click()
    expect(page.get_by_role("heading", name=names[0], level=1)).to_be_visible()
    expect(plot(page)).to_be_visible()
    best = chosen(page).inner_text()
    slider(page).press("Home")
    expect(slider(page)).to_have_attribute("aria-valuetext", re.compile(r"^[\d,]+ parameters: "))
    expect(chosen(page)).not_to_have_text(best)
    choose(page, 0)
    slider(page).press("End")
    expect(chosen(page)).to_have_text(best)
    trial = best.split()[0]
    page.get_by_label(f"learning curve of {trial}").press("Space")
    expect(page.locator(".curves .main-svg").first).to_be_visible()
    page.get_by_label(f"learning curve of {trial}").press("Space")
    expect(page.locator(".curves .main-svg").first).to_be_hidden()
    assert exported(page, tmp_path) == f"{names[0]}-{trial}-peft.zip"


def test_another_front_is_shown_by_its_switches_and_a_method_is_filtered(open_page: Opener, names: list[str]) -> None:
    page = open_page(f"#/searches/{names[0]}")
    expect(plot(page)).to_be_visible()
    page.get_by_role("radio", name="stored").check(force=True)
    expect(page.get_by_text("stored parameters of the adapter")).to_be_visible()
    page.get_by_role("radio", name="trainable").check(force=True)
    expect(page.get_by_text("trainable parameters of the adapter")).to_be_visible()
    page.get_by_role("radio", name="confirmed").check(force=True)
    expect(chosen(page)).to_have_text("No point was confirmed")
    page.get_by_role("radio", name="one training").check(force=True)
    expect(page.get_by_text("Every point was trained once")).to_be_visible()
    method = texts(page, "Method")[0]
    page.get_by_label(method, exact=True).uncheck()
    expect(page.get_by_text("Front of the chosen methods alone.")).to_be_visible()
    assert method not in texts(page, "Method")


def test_the_table_is_sorted_by_the_keyboard(open_page: Opener, names: list[str]) -> None:
    page = open_page(f"#/searches/{names[0]}")
    head = page.locator("th[aria-sort]").filter(has_text="Parameters")
    button = head.get_by_role("button")
    button.press("Enter")
    expect(head).to_have_attribute("aria-sort", "ascending")
    sizes = [int(text.replace(",", "")) for text in texts(page, "Parameters")]
    assert sizes == sorted(sizes)
    button.press("Enter")
    expect(head).to_have_attribute("aria-sort", "descending")
    assert texts(page, "Parameters") == [f"{size:,}" for size in sorted(sizes, reverse=True)]


def test_two_searches_are_compared(open_page: Opener, names: list[str]) -> None:
    page = open_page("")
    for name in names:
        page.get_by_label(f"compare {name}", exact=True).check()
    page.get_by_role("button", name="Compare these two").click()
    expect(plot(page)).to_be_visible()
    assert texts(page, "Search")[:2] == names
    assert all(texts(page, "Hypervolume"))


def test_a_wrong_spec_is_explained_in_one_line(open_page: Opener) -> None:
    page = open_page("#/launch")
    line = page.locator("main .line.wrong")
    page.get_by_label("Spec as JSON").fill("{")
    page.get_by_role("button", name="Validate").click()
    expect(line).to_contain_text("This is no JSON")
    page.get_by_label("Spec as JSON").fill('{"name": "x"}')
    page.get_by_role("button", name="Validate").click()
    expect(line).to_contain_text(re.compile("model|data|budget"))


def test_a_search_like_another_one_is_prepared(open_page: Opener, names: list[str]) -> None:
    page = open_page(f"#/searches/{names[0]}")
    page.get_by_role("link", name="Launch one like it").click()
    expect(page.get_by_text(f"This is the spec of {names[0]}, under a new name.")).to_be_visible()
    spec = json.loads(page.get_by_label("Spec as JSON").input_value())
    assert spec["name"] == f"{names[0]}-again"
    assert "storage" not in spec
    assert "study_storage" not in spec["search"]
    assert "uri" not in spec["tracking"]
    page.get_by_role("button", name="Validate").click()
    expect(page.get_by_text("This spec can be searched.")).to_be_visible(timeout=LONG)


@pytest.mark.parametrize("address", ["#/searches", "#/searches/{}", "#/launch", "#/compare?name={}&name={}"])
def test_a_narrow_screen_needs_no_scrolling_sideways(open_page: Opener, names: list[str], address: str) -> None:
    page = open_page(address.format(*names), viewport={"width": 360, "height": 800})
    if "{" in address:
        expect(plot(page)).to_be_visible()
        drawn = plot(page).bounding_box()
        assert drawn is not None
        assert 0 <= drawn["x"] < drawn["x"] + drawn["width"] <= 360
    expect(page.get_by_role("heading", level=1)).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= 360


def test_dark_and_light_follow_the_reader(open_page: Opener, names: list[str]) -> None:
    page = open_page(f"#/searches/{names[0]}", color_scheme="dark")
    title = page.locator(".plot .xtitle").first
    expect(title).to_be_visible()
    dark = title.evaluate("element => getComputedStyle(element).fill")
    assert dark == page.evaluate("getComputedStyle(document.body).color")
    page.emulate_media(color_scheme="light")
    expect(title).not_to_have_css("fill", dark)


def test_a_token_is_asked_for_and_a_wrong_one_refused(open_page: Opener, names: list[str], service: Running) -> None:
    page = open_page("", known=False)
    dialog = page.get_by_role("dialog")
    page.get_by_label("Bearer token").fill("wrong")
    with page.expect_response(lambda response: response.status == 401):
        page.keyboard.press("Enter")
    expect(dialog).to_be_visible()
    page.get_by_label("Bearer token").fill(service.token)
    page.keyboard.press("Enter")
    expect(page.get_by_role("link", name=names[0], exact=True)).to_be_visible()
    expect(dialog).to_be_hidden()


def test_a_lost_connection_is_said_and_recovered_from(open_page: Opener) -> None:
    page = open_page("")
    expect(page.get_by_role("table")).to_be_visible()
    page.context.set_offline(True)
    lost = page.get_by_text("No connection to the service")
    expect(lost).to_be_visible()
    page.context.set_offline(False)
    expect(lost).to_be_hidden()


def test_whatever_answers_is_reached_by_the_keyboard(open_page: Opener, names: list[str]) -> None:
    page = open_page(f"#/searches/{names[0]}")
    expect(plot(page)).to_be_visible()
    expect(page.get_by_role("checkbox", name="learning curve of 0000")).to_be_visible()
    number = page.evaluate(
        """() => {
          const kinds = "a[href], button, input, select, summary, [tabindex='0']";
          // Of radio buttons the keyboard finds the one that is chosen; Plotly's own buttons are not the page's.
          const counts = (one) => (one.type !== "radio" || one.checked) && !one.closest(".modebar");
          window.missed = new Set([...document.querySelectorAll(kinds)].filter(
            (one) => one.checkVisibility() && !one.disabled && counts(one),
          ));
          document.addEventListener("focusin", ({ target }) => window.missed.delete(target));
          return window.missed.size;
        }"""
    )
    for _ in range(2 * number):
        page.keyboard.press("Tab")
    assert page.evaluate("[...window.missed].map((one) => one.outerHTML)") == []
