"""From a spec to an adapter on the page of the service, in a real browser."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.search.service.browsing import LONG, Opener, choose, chosen, exported, plot, slider
from tests.search.service.surroundings import Running

pytestmark = [pytest.mark.cluster, pytest.mark.xdist_group("service")]


def test_a_search_is_launched_watched_while_it_runs_and_exported(
    open_page: Opener, service: Running, tmp_path: Path
) -> None:
    trials = 6
    # Long enough for the page, which asks every few seconds, to see the front well before the end.
    values = service.values("clicked", training={"max_steps": 1200}, search={"trials": trials, "rungs": 3})
    page = open_page("")
    page.get_by_role("link", name="Launch", exact=True).click()
    expect(page.get_by_text("absolute, or relative to a folder that the service may read")).to_be_visible()
    page.get_by_label("Spec as JSON").fill(json.dumps(values))
    page.get_by_role("button", name="Launch").click()
    expect(page.get_by_role("heading", name="clicked", level=1)).to_be_visible()
    state = page.locator("main > .row .badge")
    expect(state).to_have_text(re.compile("queued|running"))
    expect(page.get_by_text("There is no front yet")).to_be_visible()

    expect(state).to_have_text("running", timeout=LONG)
    expect(plot(page)).to_be_visible(timeout=LONG)
    expect(slider(page)).to_be_enabled()
    expect(chosen(page)).to_have_text(re.compile(r"^\d{4} "))
    ended = page.locator("td[data-title='State']").filter(has_text="finished")
    expect(ended.first).to_be_visible()
    assert ended.count() < trials
    expect(state).to_have_text("running")

    expect(state).to_have_text("finished", timeout=LONG)
    expect(ended).to_have_count(trials)
    smallest = service.client.front("clicked").front[0]
    choose(page, smallest.trainable_parameters)
    expect(chosen(page)).to_have_text(f"{smallest.trial} {smallest.method}")
    folder = f"clicked-{smallest.trial}-peft"
    assert exported(page, tmp_path) == f"{folder}.zip"
    assert (tmp_path / folder / "adapter_model.safetensors").is_file()

    page.get_by_text("How to load it").click()
    snippet = page.locator("pre code").inner_text()
    shown = f"{snippet}\nprint(*model.peft_config)"
    loaded = subprocess.run([sys.executable, "-c", shown], cwd=tmp_path, capture_output=True, text=True)
    assert loaded.returncode == 0, loaded.stderr
    assert loaded.stdout.splitlines()[-1] == "default"
