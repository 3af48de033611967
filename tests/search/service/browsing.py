"""The page of the service in a real browser: opened, looked at, pointed at."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Locator, Page, expect

SECONDS = 30
LONG = 300_000
"""Milliseconds within which whatever a job does is done."""


class Opener:
    """Opens pages of the service at `url`; `errors` are those of scripts and of the policy."""

    def __init__(self, browser: Browser, url: str, token: str) -> None:
        self._browser, self._url, self._token = browser, url, token
        self._contexts: list[BrowserContext] = []
        self.errors: list[str] = []

    def __call__(self, address: str, *, known: bool = True, **settings: Any) -> Page:
        """The page at an address, as for a reader whose token is known unless said otherwise."""
        context = self._browser.new_context(**settings)
        self._contexts.append(context)
        if known:
            context.add_init_script(f"sessionStorage.setItem('paretune-token', {json.dumps(self._token)})")
        context.set_default_timeout(1000 * SECONDS)
        page = context.new_page()
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("console", lambda said: self.errors.append(said.text) if _is_error(said) else None)
        page.goto(f"{self._url}/{address}")
        return page

    def close(self) -> None:
        for context in self._contexts:
            context.close()


def _is_error(said: ConsoleMessage) -> bool:
    """The browser itself notes answers such as 401, which the page deals with."""
    return said.type == "error" and not said.text.startswith("Failed to load resource")


def front_of(page: Page) -> Locator:
    """The element of the picture of a front."""
    return page.locator(".plot").first


def plot(page: Page) -> Locator:
    """What is drawn in it."""
    return page.locator(".plot .main-svg").first


def place(page: Page, size: int, score: float) -> tuple[float, float]:
    """Where a point of the front stands in the window."""
    front_of(page).locator("path.point").first.wait_for()
    x, y = front_of(page).evaluate(
        """(element, [size, score]) => {
          const { xaxis, yaxis } = element._fullLayout;
          const corner = element.getBoundingClientRect();
          return [corner.x + xaxis._offset + xaxis.d2p(size), corner.y + yaxis._offset + yaxis.d2p(score)];
        }""",
        [size, score],
    )
    return x, y


def texts(page: Page, title: str) -> list[str]:
    """The cells of a column."""
    return page.locator(f"td[data-title='{title}']").all_inner_texts()


def chosen(page: Page) -> Locator:
    """What the chosen point is called."""
    return page.get_by_role("article").get_by_role("heading", level=3)


def choose(page: Page, parameters: int) -> None:
    """Ask for the best under so many parameters."""
    page.get_by_label("best under this many").fill(str(parameters))


def slider(page: Page) -> Locator:
    return page.get_by_role("slider", name="Best under")


def exported(page: Page, folder: Path) -> str:
    """Have the chosen point exported, and its zip file unpacked into `folder`; gives the name of the file."""
    page.get_by_role("button", name="Export").click()
    save = page.get_by_role("button", name="Download")
    expect(save).to_be_visible(timeout=LONG)
    with page.expect_download() as download:
        save.click()
    with zipfile.ZipFile(download.value.path()) as packed:
        packed.extractall(folder)
    return download.value.suggested_filename
