"""Attacks by pages, in Chromium: those of other sites change nothing, and what is shown is never run as a script."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from spaces.spec.sections import ModelSection
from tests.search.service.alone import Alone
from tests.search.service.browsing import Opener
from tests.search.service.listening import listening

pytestmark = [pytest.mark.cluster, pytest.mark.xdist_group("attacks")]

HOSTILE = "<img src=x onerror=\"document.title='run'\"><script>document.title='run'</script>"

EVIL = """<!DOCTYPE html><title>evil</title><iframe name="hidden"></iframe>
<form id="stop" method="post" action="{0}/v1/searches/mine/stop" target="hidden"></form>
<form id="launch" method="post" action="{0}/v1/searches" enctype="text/plain" target="hidden">
<input name='{1}' value='"}}'></form><img src="{0}/v1/methods">
<script>
const asked = ["stop", "resume"].map((verb) =>
  fetch("{0}/v1/searches/mine/" + verb, {{ method: "POST", mode: "no-cors" }}));
asked.push(fetch("{0}/v1/searches", {{ method: "POST", mode: "no-cors", body: '{1}"}}' }}));
asked.push(Promise.resolve(navigator.sendBeacon("{0}/v1/searches/mine/stop")));
for (const form of document.forms) form.submit();
Promise.allSettled(asked).then(() => setTimeout(() => {{ document.title = "done"; }}, 2000));
</script>
"""


@pytest.fixture
def url(alone: Alone) -> Iterator[str]:
    """Of a service without tokens in which one search waits."""
    assert alone.launch("mine").status_code == 201
    with listening(alone.settings) as port:
        yield f"http://127.0.0.1:{port}"


@pytest.fixture
def evil(alone: Alone, url: str, tmp_path: Path) -> Iterator[int]:
    """The port of another site, whose page sends requests to the service."""
    folder = tmp_path / "evil"
    folder.mkdir()
    body = alone.spec("theirs").model_dump_json().replace("'", "").removesuffix("}") + ', "unknown": "'
    (folder / "index.html").write_text(EVIL.format(url, body))
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(SimpleHTTPRequestHandler, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_port
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])  # another site, and another port of the same one
def test_a_page_of_another_site_neither_stops_nor_launches(
    alone: Alone, url: str, evil: int, browser: Browser, host: str
) -> None:
    context = browser.new_context()
    page = context.new_page()
    said: dict[str, set[int]] = {}
    page.on("response", lambda one: said.setdefault(one.request.method, set()).add(one.status))
    page.goto(f"http://{host}:{evil}/")
    expect(page).to_have_title("done")
    assert said["POST"] == {403}
    assert alone.request("mine").wanted == "run"
    assert alone.status("theirs")["status"] == 404
    # A link is followed, and the service's own page does what it is told.
    page.evaluate(f"location = '{url}/'")
    page.wait_for_url(f"{url}/")
    status = page.evaluate("fetch('/v1/searches/mine/stop', {method: 'POST'}).then((one) => one.status)")
    assert status in (202, 503)  # it is said in MLflow; Ray is away
    assert alone.request("mine").wanted == "stop"
    context.close()


def test_what_is_shown_is_never_run(alone: Alone, url: str, browser: Browser) -> None:
    spec = alone.spec("hostile").model_copy(update={"model": ModelSection(path=HOSTILE)})
    alone.begin(spec, "finished")
    opener = Opener(browser, url, "")
    for address in ("", "#/searches/hostile", f"#/searches/{HOSTILE}", f"?{HOSTILE}#{HOSTILE}"):
        page = opener(address, known=False)
        page.wait_for_load_state("networkidle")
        assert page.title() != "run"
    expect(opener("", known=False).get_by_text(HOSTILE).first).to_be_visible()
    for kind in ("html", "csv", "json"):
        page = opener(f"v1/searches/hostile/front?format={kind}", known=False) if kind != "csv" else page
        assert page.title() != "run"
    opener.close()
    assert opener.errors == []
