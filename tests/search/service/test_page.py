"""The page of the service in a real browser."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Locator, Page, expect, sync_playwright

from tests.search.service.surroundings import Running

pytestmark = [pytest.mark.cluster, pytest.mark.xdist_group("service")]

SECONDS = 30


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    expect.set_options(timeout=1000 * SECONDS)
    with sync_playwright() as playwright:
        # The sandbox needs rights that a container seldom has.
        opened = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.fixture
def open_page(browser: Browser, service: Running) -> Iterator[Any]:
    """Opens the page at an address, as with the token given; an error of a script or of the policy fails the test."""
    contexts, errors = [], []

    def opened(address: str, token: str | None = service.token, **settings: Any) -> Page:
        context = browser.new_context(**settings)
        contexts.append(context)
        if token:
            context.add_init_script(f"sessionStorage.setItem('paretune-token', {json.dumps(token)})")
        context.set_default_timeout(1000 * SECONDS)
        page = context.new_page()
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("console", lambda said: errors.append(said.text) if is_error(said) else None)
        page.goto(f"{service.url}/{address}")
        return page

    yield opened
    for context in contexts:
        context.close()
    assert errors == []


@pytest.fixture(scope="module")
def names(finished: str, second: str) -> list[str]:
    """Searches that ran to their end, with fronts of their own."""
    return [second, finished]


def is_error(said: ConsoleMessage) -> bool:
    """The browser itself notes answers such as 401, which the page deals with."""
    return said.type == "error" and not said.text.startswith("Failed to load resource")


def plot(page: Page) -> Locator:
    return page.locator(".plot .main-svg").first


def texts(page: Page, title: str) -> list[str]:
    return page.locator(f"td[data-title='{title}']").all_inner_texts()


def chosen(page: Page) -> Locator:
    return page.get_by_role("article").get_by_role("heading", level=3)


def test_from_the_list_to_a_point_its_curve_and_its_export(open_page: Any, names: list[str]) -> None:
    page = open_page("")
    page.get_by_label("Name contains").fill(names[0])
    page.get_by_role("link", name=names[0], exact=True).click()
    expect(page.get_by_role("heading", name=names[0], level=1)).to_be_visible()
    expect(plot(page)).to_be_visible()
    best = chosen(page).inner_text()
    slider = page.get_by_role("slider", name="Best under")
    slider.press("Home")
    expect(slider).to_have_attribute("aria-valuetext", re.compile(r"^[\d,]+ parameters: "))
    expect(chosen(page)).not_to_have_text(best)
    page.get_by_label("best under this many").fill("0")
    slider.press("End")
    expect(chosen(page)).to_have_text(best)
    trial = best.split()[0]
    page.get_by_label(f"learning curve of {trial}").press("Space")
    expect(page.locator(".curves .main-svg").first).to_be_visible()
    page.get_by_label(f"learning curve of {trial}").press("Space")
    expect(page.locator(".curves .main-svg").first).to_be_hidden()
    page.get_by_role("button", name="Export").click()
    save = page.get_by_role("button", name="Download")
    expect(save).to_be_visible(timeout=300_000)
    with page.expect_download() as download:
        save.click()
    assert download.value.suggested_filename == f"{names[0]}-{trial}-peft.zip"


def test_another_front_is_shown_by_its_switches_and_a_method_is_filtered(open_page: Any, names: list[str]) -> None:
    page = open_page(f"#/searches/{names[0]}")
    expect(plot(page)).to_be_visible()
    page.get_by_role("radio", name="stored").check(force=True)
    expect(page.get_by_text("stored parameters of the adapter")).to_be_visible()
    page.get_by_role("radio", name="trainable").check(force=True)
    expect(page.get_by_text("trainable parameters of the adapter")).to_be_visible()
    method = texts(page, "Method")[0]
    page.get_by_label(method, exact=True).uncheck()
    expect(page.get_by_text("Front of the chosen methods alone.")).to_be_visible()
    assert method not in texts(page, "Method")


def test_the_table_is_sorted_by_the_keyboard(open_page: Any, names: list[str]) -> None:
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


def test_two_searches_are_compared(open_page: Any, names: list[str]) -> None:
    page = open_page("")
    for name in names:
        page.get_by_label(f"compare {name}", exact=True).check()
    page.get_by_role("button", name="Compare these two").click()
    expect(plot(page)).to_be_visible()
    assert texts(page, "Search")[:2] == names
    assert all(texts(page, "Hypervolume"))


def test_a_wrong_spec_is_explained_in_one_line(open_page: Any) -> None:
    page = open_page("#/launch")
    line = page.locator("main .line.wrong")
    page.get_by_label("Spec as JSON").fill("{")
    page.get_by_role("button", name="Validate").click()
    expect(line).to_contain_text("This is no JSON")
    page.get_by_label("Spec as JSON").fill('{"name": "x"}')
    page.get_by_role("button", name="Validate").click()
    expect(line).to_contain_text(re.compile("model|data|budget"))


@pytest.mark.parametrize("address", ["#/searches", "#/searches/{}", "#/launch", "#/compare?name={}&name={}"])
def test_a_narrow_screen_needs_no_scrolling_sideways(open_page: Any, names: list[str], address: str) -> None:
    page = open_page(address.format(*names), viewport={"width": 360, "height": 800})
    if "{" in address:
        expect(plot(page)).to_be_visible()
    expect(page.get_by_role("heading", level=1)).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= 360


def test_dark_and_light_follow_the_reader(open_page: Any, names: list[str]) -> None:
    page = open_page(f"#/searches/{names[0]}", color_scheme="dark")
    title = page.locator(".plot .xtitle").first
    expect(title).to_be_visible()
    dark = title.evaluate("element => getComputedStyle(element).fill")
    assert dark == page.evaluate("getComputedStyle(document.body).color")
    page.emulate_media(color_scheme="light")
    expect(title).not_to_have_css("fill", dark)


def test_a_token_is_asked_for_and_a_wrong_one_refused(open_page: Any, names: list[str], service: Running) -> None:
    page = open_page("", token=None)
    dialog = page.get_by_role("dialog")
    page.get_by_label("Bearer token").fill("wrong")
    with page.expect_response(lambda response: response.status == 401):
        page.keyboard.press("Enter")
    expect(dialog).to_be_visible()
    page.get_by_label("Bearer token").fill(service.token)
    page.keyboard.press("Enter")
    expect(page.get_by_role("link", name=names[0], exact=True)).to_be_visible()
    expect(dialog).to_be_hidden()


def test_a_lost_connection_is_said_and_recovered_from(open_page: Any) -> None:
    page = open_page("")
    expect(page.get_by_role("table")).to_be_visible()
    page.context.set_offline(True)
    lost = page.get_by_text("No connection to the service")
    expect(lost).to_be_visible()
    page.context.set_offline(False)
    expect(lost).to_be_hidden()
