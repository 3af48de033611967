"""The forms that MLflow keeps."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from tests.tracking.examples import make_spec
from tracking.writing.encoding import clean, flatten, metrics, without_passwords


def test_nested_settings_become_dotted_names() -> None:
    values = {"a": {"b": 1, "c": {"d": [1, 2]}}, "e": "text", "f": True, "g": None, "h": {}, "i": 2.0}
    assert flatten(values) == {
        "a.b": "1",
        "a.c.d": "[1, 2]",
        "e": "text",
        "f": "true",
        "g": "null",
        "h": "{}",
        "i": "2.0",
    }


@given(st.text() | st.text(st.characters(categories=["Cs", "Lu"])))
def test_a_clean_text_can_be_stored_and_stays_what_it_was(text: str) -> None:
    cleaned = clean(text)
    cleaned.encode("utf-8")
    assert "\0" not in cleaned
    assert len(cleaned) == len(text.replace("\0", ""))
    assert all(left in (right, "?") for left, right in zip(cleaned, text.replace("\0", ""), strict=True))


def test_metrics_leave_out_what_is_none() -> None:
    log = metrics("0001", {"quality": 0.5, "test_quality": None, "steps": 3}, step=7)
    assert [(one.name, one.value, one.step) for one in log.metrics] == [("quality", 0.5, 7), ("steps", 3.0, 7)]
    assert log.trial == "0001"
    assert all(one.time == log.time for one in log.metrics)


def test_passwords_do_not_travel(tmp_path: Path) -> None:
    spec = make_spec(tmp_path)
    spec = spec.model_copy(
        update={
            "tracking": spec.tracking.model_copy(update={"uri": "http://user:secret@host:5000"}),
            "search": spec.search.model_copy(update={"study_storage": "postgresql://user:secret@host/db"}),
        }
    )
    shown = without_passwords(spec)
    assert "secret" not in shown.model_dump_json()
    assert shown.tracking.uri == "http://user:***@host:5000"
    assert without_passwords(make_spec(tmp_path)) == make_spec(tmp_path)
