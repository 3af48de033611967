"""`python -m tests.search.shown_search FOLDER`: the display of a search whose trials end faster than any real ones.

Trials begin and end, a library prints from a thread of its own, and the display draws as often as it can.
"""

from __future__ import annotations

import logging
import random
import sys
import threading
import time
from pathlib import Path

from search.driver import progress
from search.driver.progress import Display
from search.driver.recorder import Recorder
from search.terminal import console
from spaces.model.budget import Budget
from spaces.spec.metrics import METRICS
from spaces.trials.ledger import Ledger
from spaces.trials.records import Progress, Rung
from tests.tracking.examples import finished, make_spec, plan
from tracking.writing.search_writer import SearchWriter

TRAININGS, STEPS = 25, 300
END, ORDER = "the end", "order"


def said(number: int) -> str:
    return f"a library says {number}"


def recorder_in(folder: Path) -> Recorder:
    """The record of a search that nothing has run of yet."""
    spec = make_spec(folder)
    spec.home.mkdir(exist_ok=True)
    writer = SearchWriter("http://127.0.0.1:1", spec, "id", spec.home)  # nothing answers: events wait on the disk
    return Recorder(Ledger(spec.home), writer, Budget(50_000, 1), METRICS["accuracy"])


def run_trials(recorder: Recorder, display: Display) -> list[str]:
    """Up to twelve at once, so that the display grows and shrinks; gives them in the order in which they ended."""
    order = []
    draw = random.Random(0)
    waiting = [plan(f"{number:04d}", parameters=draw.randint(1, 50_000)) for number in range(TRAININGS)]
    while waiting or recorder.running:
        if waiting and len(recorder.running) < draw.randint(1, 12):
            begun = waiting.pop(0)
            recorder.ledger.trial(begun.trial).write_plan(begun)
            recorder.started(begun)
            recorder.ledger.trial(begun.trial).write_progress(Progress(step=draw.randint(1, STEPS), loss=draw.random()))
            display.refresh()
            continue
        one = draw.choice(list(recorder.running.values()))
        quality = round(draw.random(), 4)
        recorder.ledger.trial(one.trial).write_result(finished(quality, rungs=(Rung(step=30, quality=quality),)))
        ended = recorder.finished(one)
        assert ended is not None
        display.ended(ended)
        order.append(one.trial)
    return order


def main() -> None:
    progress.LOOK_SECONDS = 0.01
    logging.disable()  # that MLflow is away
    recorder, terminal = recorder_in(Path(sys.argv[1])), console()

    def chatter() -> None:
        for number in range(TRAININGS):
            print(said(number))
            time.sleep(0.01)

    with Display(terminal, recorder, title="demo", total=TRAININGS, max_steps=STEPS) as display:
        library = threading.Thread(target=chatter)
        library.start()
        order = run_trials(recorder, display)
        library.join()
    (Path(sys.argv[1]) / ORDER).write_text("\n".join(order))
    terminal.print(END)


if __name__ == "__main__":
    main()
    sys.stdout.flush()
