"""Live progress: a display that stays in place on a terminal; elsewhere one line a trial, and signs of life."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from search.driver.recorder import CompletedTrial, Recorder
from spaces.space.settings_text import settings_text
from spaces.trials.records import Progress, TrialPlan
from tracking.reports.table_layout import plain_table

SHOWN_ROWS = 10
LOOK_SECONDS = 1.0
SIGN_SECONDS = 30.0


class Display:
    """The progress of `total` trainings: how many have ended, the running ones with step and loss, the front so far.

    Any thread may call it. The console must be a `Terminal`, which keeps the output of threads apart: a thread of the
    display draws the clock and the progress that running trials wrote.

    The head line is our own and not made of rich's progress columns: `TimeElapsedColumn` and `TimeRemainingColumn`
    give no words, and the latter estimates from the last 30 s, in which no training may end.
    """

    def __init__(self, console: Console, recorder: Recorder, *, title: str, total: int, max_steps: int) -> None:
        self._console = console
        self._recorder = recorder
        self._title = title
        self._total = total
        self._max_steps = max_steps
        self._done = 0
        self._started = time.monotonic()
        self._steps: dict[str, Progress] = {}
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._keep_alive, name="progress", daemon=True)
        self._live = Live(console=console, auto_refresh=False, get_renderable=self._render, transient=True)

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            with self._console:
                self._live.start(refresh=True)
        else:
            self._console.print(f"{self._title}: {self._total} trainings of {self._max_steps} steps")
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        with self._console:
            self._live.stop()
        self._thread.join(timeout=LOOK_SECONDS)  # a storage that hangs must not hold up the search

    def refresh(self) -> None:
        """Draw the display again."""
        with self._console:
            if self._live.is_started:
                self._live.refresh()

    def ended(self, ended: CompletedTrial) -> None:
        """Print the line of a training that ended."""
        with self._console:  # one drawing for the line and the display below it
            self._done += 1
            self._console.print(self._line(ended), highlight=False, soft_wrap=True)
            if self._live.is_started:
                self._live.refresh()

    def _keep_alive(self) -> None:
        signed = time.monotonic()
        while not self._over.wait(LOOK_SECONDS):
            ledger, running = self._recorder.ledger, list(self._recorder.running)[:SHOWN_ROWS]
            found = {trial: ledger.trial(trial).progress() for trial in running}
            self._steps = {trial: progress for trial, progress in found.items() if progress is not None}
            if self._console.is_terminal:
                self.refresh()
            elif time.monotonic() - signed >= SIGN_SECONDS:
                signed = time.monotonic()
                self._console.print(self._sign_of_life(), highlight=False, soft_wrap=True)

    def _line(self, ended: CompletedTrial) -> Text:
        plan, result = ended.plan, ended.result
        text = Text(
            f"[{self._done}/{self._total}] {plan.trial} {plan.method:<14} {plan.trainable_parameters:>10,} params  "
        )
        if result.state == "finished":
            text.append(f"{self._recorder.metric.name} {result.quality:.4f}", style="green")
            text.append(f"  {result.train_seconds:.0f} s  ")
            text.append(settings_text(plan.method, plan.settings), style="dim")
        else:
            text.append(f"{result.state}: {result.reason}", style="yellow" if result.state == "stopped" else "red")
        return text

    def _sign_of_life(self) -> Text:
        """Return the running trials on one line, for a log."""
        plans = list(self._recorder.running.values())
        running = []
        for plan in plans[:SHOWN_ROWS]:
            step, loss = self._step(plan)
            writing = self._writing(plan)
            running.append(
                f"{plan.trial} {plan.method} step {step}"
                + (f" loss {loss}" if loss else "")
                + (f" writing {writing}" if writing else "")
            )
        more = [f"{len(plans) - SHOWN_ROWS} more"] if len(plans) > SHOWN_ROWS else []
        return Text(f"{self._done}/{self._total} ended, {self._clock()}; running: {', '.join(running + more) or '-'}")

    def _clock(self) -> str:
        seconds = time.monotonic() - self._started
        left = f", about {_clock(seconds / self._done * (self._total - self._done))} left" if self._done else ""
        return f"{_clock(seconds)} gone{left}"

    def _render(self) -> RenderableType:
        """Return as many rows as the terminal has lines, less one: a taller display could not be erased."""
        room = self._console.height - 2
        running = list(self._recorder.running.values())[: min(SHOWN_ROWS, max(0, room - 1))]
        head = Table.grid(padding=(0, 1))
        for _ in range(4):
            head.add_column(no_wrap=True)
        head.add_row(
            Text(self._title, style="bold"),
            ProgressBar(total=max(1, self._total), completed=self._done, width=min(30, self._console.width // 4)),
            f"{self._done}/{self._total}",
            self._clock(),
        )
        parts: list[RenderableType] = [head]
        if running:
            parts.append(self._running(running))
            room -= len(running) + 1
        elif room > 0 and not self._done:
            parts.append(Text("starting workers …", style="dim"))
            room -= 1
        if self._recorder.front and room > 1:
            parts.append(self._best(self._recorder.front[-min(SHOWN_ROWS, room - 1) :]))
        return _Fitting(Group(*parts))

    def _running(self, plans: Sequence[TrialPlan]) -> Table:
        table = _table("running", "method", "params", "step", "loss", self._recorder.metric.name, "settings")
        for plan in plans:
            table.add_row(
                plan.trial,
                plan.method,
                f"{plan.trainable_parameters:,}",
                *self._step(plan),
                self._measured(plan),
                settings_text(plan.method, plan.settings),
            )
        return table

    def _best(self, points: Sequence[CompletedTrial]) -> Table:
        table = _table("front", "method", "params", self._recorder.metric.name, "settings")
        for one in points:
            plan = one.plan
            size, settings = f"{plan.trainable_parameters:,}", settings_text(plan.method, plan.settings)
            table.add_row(plan.trial, plan.method, size, f"{one.quality:.4f}", settings, style="green")
        return table

    def _step(self, plan: TrialPlan) -> tuple[str, str]:
        """Return a trial's step, from its last progress or its last rung, and its training loss."""
        rung, progress = self._recorder.latest.get(plan.trial), self._steps.get(plan.trial)
        step = max(rung.step if rung else 0, progress.step if progress else 0)
        return f"{step}/{self._max_steps}", "" if progress is None or progress.loss is None else f"{progress.loss:.4g}"

    def _writing(self, plan: TrialPlan) -> str:
        """Return how far a trial has come that writes answers; empty for others."""
        progress = self._steps.get(plan.trial)
        if progress is None or progress.answers is None:
            return ""
        now = f", {progress.tokens} tokens" if progress.tokens else ""
        return f"answers {progress.answers}/{progress.of_answers}{now}"

    def _measured(self, plan: TrialPlan) -> str:
        """Return a trial's progress in writing, else its quality, or its loss, at its last rung."""
        rung = self._recorder.latest.get(plan.trial)
        if (writing := self._writing(plan)) or rung is None:
            return writing
        return f"loss {rung.loss:.4f}" if rung.quality is None else f"{rung.quality:.4f}"


class _Fitting:
    """A display whose lines are never wider than the terminal, and at least one fewer than it has."""

    def __init__(self, display: RenderableType) -> None:
        self._display = display

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        # The options are those of the result printed above, which may be wider than the terminal.
        lines = console.render_lines(self._display, console.options, pad=False)[: max(1, console.height - 1)]
        for number, line in enumerate(lines):
            if number:
                yield Segment.line()
            yield from line


def _table(*columns: str) -> Table:
    table = plain_table(header_style="dim")
    for column in columns:
        table.add_column(column, no_wrap=True)
    return table


def _clock(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
