"""The live display on a real pseudo-terminal: no line is lost, nothing dead remains, whatever threads do."""

from __future__ import annotations

import io
import itertools
import os
import re
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console

from search.driver import progress
from search.driver.progress import Display
from search.driver.recorder import CompletedTrial
from search.terminal import Terminal
from spaces.trials.records import Progress
from tests.pages import ROOT
from tests.search.screen import Screen
from tests.search.shown_search import END, ORDER, STEPS, TRAININGS, recorder_in, said
from tests.tracking.examples import plan


def shown_search(folder: Path, *, lines: int, columns: int) -> Screen:
    arguments = [sys.executable, "-m", "tests.search.shown_search", str(folder)]
    return Screen(arguments, {**os.environ, "PYTHONPATH": str(ROOT)}, lines=lines, columns=columns)


def result_lines(folder: Path) -> list[str]:
    """The lines of results, each as a console without a display writes it."""
    recorder, sink = recorder_in(folder), io.StringIO()
    plain = Display(Console(file=sink, width=500), recorder, title="", total=TRAININGS, max_steps=STEPS)
    for trial in map(recorder.ledger.trial, (folder / ORDER).read_text().split()):
        result = trial.result()
        assert result is not None
        plain.ended(CompletedTrial(trial.plan(), result))
    return sink.getvalue().splitlines()


def rows(lines: list[str], columns: int) -> Counter[str]:
    """The rows that lines take on a terminal."""
    cut = (line[start : start + columns] for line in lines for start in range(0, len(line), columns))
    return Counter(row.strip() for row in cut if row.strip())


def everything(folder: Path) -> list[str]:
    return [*result_lines(folder), *map(said, range(TRAININGS)), END]


@pytest.mark.parametrize(("lines", "columns"), [(3, 20), (5, 100), (10, 40), (24, 200), (50, 120)])
def test_every_line_is_there_once_and_nothing_of_the_display(lines: int, columns: int, tmp_path: Path) -> None:
    screen = shown_search(tmp_path, lines=lines, columns=columns)
    assert rows(screen.finish(), columns) == rows(everything(tmp_path), columns)


def test_no_line_is_lost_while_the_terminal_changes_its_size(tmp_path: Path) -> None:
    screen = shown_search(tmp_path, lines=12, columns=120)
    sizes = itertools.cycle([(12, 60), (16, 100), (20, 40), (24, 120)])
    while screen.process.poll() is None:
        if any(row.startswith("[") for row in screen.shown):
            screen.resize(*next(sizes))
        time.sleep(0.1)
    found = screen.finish()
    for number in range(1, TRAININGS + 1):
        assert sum(row.startswith(f"[{number}/{TRAININGS}] ") for row in found) == 1
        assert found.count(said(number - 1)) == 1


def test_a_running_trial_shows_how_far_it_is_and_its_settings(tmp_path: Path) -> None:
    recorder, sink = recorder_in(tmp_path), io.StringIO()
    running = plan("0007")
    recorder.ledger.trial("0007").write_plan(running)
    recorder.started(running)
    recorder.ledger.trial("0007").write_progress(Progress(step=120, loss=0.43214))
    terminal = Terminal(file=sink, width=120, height=20, force_terminal=True, color_system=None)
    with Display(terminal, recorder, title="demo", total=3, max_steps=300):
        wait_until(lambda: "120/300" in sink.getvalue())
    assert re.search(r"0007 +lora +1,000 +120/300 +0\.4321 +qv, all, rank 2, lr 0\.001", sink.getvalue())


def test_a_log_gets_signs_of_life(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "SIGN_SECONDS", 0.0)
    monkeypatch.setattr(progress, "LOOK_SECONDS", 0.01)
    recorder, sink = recorder_in(tmp_path), io.StringIO()
    running = plan("0007")
    recorder.started(running)
    recorder.ledger.trial("0007").write_plan(running)
    recorder.ledger.trial("0007").write_progress(Progress(step=120, loss=0.5))
    with Display(Terminal(file=sink, width=200), recorder, title="demo", total=3, max_steps=300):
        wait_until(lambda: "loss" in sink.getvalue())
    *_, last = sink.getvalue().splitlines()
    assert re.fullmatch(r"0/3 ended, 0:0\d gone; running: 0007 lora step 120/300 loss 0\.5", last)


def test_a_trial_that_writes_answers_shows_how_many(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a terminal in the place of its quality, in a log beside its step."""
    monkeypatch.setattr(progress, "SIGN_SECONDS", 0.0)
    monkeypatch.setattr(progress, "LOOK_SECONDS", 0.01)
    recorder, running = recorder_in(tmp_path), plan("0007")
    recorder.ledger.trial("0007").write_plan(running)
    recorder.started(running)
    recorder.ledger.trial("0007").write_progress(Progress(step=300, loss=None, answers=64, of_answers=500, tokens=12))
    screen, log = io.StringIO(), io.StringIO()
    terminal = Terminal(file=screen, width=120, height=20, force_terminal=True, color_system=None)
    with Display(terminal, recorder, title="demo", total=3, max_steps=300):
        wait_until(lambda: "answers" in screen.getvalue())
    assert re.search(r"0007 +lora +1,000 +300/300 +answers 64/500, 12 tokens +qv, all", screen.getvalue())
    with Display(Terminal(file=log, width=200), recorder, title="demo", total=3, max_steps=300):
        wait_until(lambda: "writing" in log.getvalue())
    assert "running: 0007 lora step 300/300 writing answers 64/500, 12 tokens\n" in log.getvalue()


def wait_until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.01)
