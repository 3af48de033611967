"""Live progress: a display that stays in place on a terminal, one line a trial elsewhere."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from search.recorder import Ended, Recorder
from spaces.records import TrialPlan

SHOWN_ROWS = 10


class Display:
    """What a user sees while trials run: how many of `total` have ended, what runs, and the front so far."""

    def __init__(self, console: Console, recorder: Recorder, *, title: str, total: int, max_steps: int) -> None:
        self._console = console
        self._recorder = recorder
        self._title = title
        self._total = total
        self._max_steps = max_steps
        self._done = 0
        self._started = time.monotonic()
        self._live = Live(console=console, refresh_per_second=4, get_renderable=self._render, transient=True)

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._live.start()
        else:
            self._console.print(f"{self._title}: {self._total} trainings of {self._max_steps} steps")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()

    def refresh(self) -> None:
        """Something changed."""
        if self._live.is_started:
            self._live.refresh()

    def ended(self, ended: Ended) -> None:
        """A training has ended."""
        self._done += 1
        self._console.print(self._line(ended), highlight=False, soft_wrap=True)
        self.refresh()

    def _line(self, ended: Ended) -> Text:
        plan, result = ended.plan, ended.result
        text = Text(
            f"[{self._done}/{self._total}] {plan.trial} {plan.method:<14} {plan.trainable_parameters:>10,} params  "
        )
        if result.state == "finished":
            text.append(f"{self._recorder.metric.name} {result.quality:.4f}", style="green")
            text.append(f"  {result.train_seconds:.0f} s")
        else:
            text.append(f"{result.state}: {result.reason}", style="yellow" if result.state == "stopped" else "red")
        return text

    def _render(self) -> RenderableType:
        seconds = time.monotonic() - self._started
        left = seconds / self._done * (self._total - self._done) if self._done else None
        head = Table.grid(padding=(0, 1))
        head.add_row(
            Text(self._title, style="bold"),
            ProgressBar(total=max(1, self._total), completed=self._done, width=30),
            f"{self._done}/{self._total}",
            f"{_clock(seconds)} gone" + (f", about {_clock(left)} left" if left is not None else ""),
        )
        running = Table(box=None, padding=(0, 2), header_style="dim")
        for column in ("running", "method", "params", "step", self._recorder.metric.name):
            running.add_column(column)
        for plan in list(self._recorder.running.values())[:SHOWN_ROWS]:
            running.add_row(*self._running_row(plan))
        best = Table(box=None, padding=(0, 2), header_style="dim")
        for column in ("front", "method", "params", self._recorder.metric.name):
            best.add_column(column)
        for one in self._recorder.front[-SHOWN_ROWS:]:
            best.add_row(
                one.plan.trial,
                one.plan.method,
                f"{one.plan.trainable_parameters:,}",
                f"{one.quality:.4f}",
                style="green",
            )
        return Group(head, running, best)

    def _running_row(self, plan: TrialPlan) -> tuple[str, ...]:
        rung = self._recorder.latest.get(plan.trial)
        return (
            plan.trial,
            plan.method,
            f"{plan.trainable_parameters:,}",
            f"{rung.step if rung else 0}/{self._max_steps}",
            f"{rung.quality:.4f}" if rung else "",
        )


def _clock(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
