"""Trials in two processes with a thread each: what packing is compared with."""

from __future__ import annotations

import multiprocessing
from multiprocessing.connection import Connection
from typing import Self

import torch

from tests.bench.packing.trials import batch_of, step_alone, trials
from tests.bench.steps.stages import minilm
from tests.bench.steps.step import now

PROCESSES = 2


class SideBySide:
    """Two processes that wait for work."""

    def __init__(self, tokens: int, vocabulary: int) -> None:
        context = multiprocessing.get_context("spawn")
        pairs = [context.Pipe() for _ in range(PROCESSES)]
        self._ends = [own for own, _ in pairs]
        self._processes = [context.Process(target=_work, args=(other, tokens, vocabulary)) for _, other in pairs]

    def __enter__(self) -> Self:
        for process in self._processes:
            process.start()
        for end in self._ends:
            end.recv()
        return self

    def __exit__(self, *_: object) -> None:
        for end, process in zip(self._ends, self._processes, strict=True):
            end.send(None)
            process.join()

    def seconds(self, size: int, count: int) -> float:
        """Until each process has made one step of each of `count` trials on `size` examples; made is not measured."""
        for end in self._ends:
            end.send((size, count))
        for end in self._ends:
            end.recv()
        started = now()
        for end in self._ends:
            end.send("go")
        for end in self._ends:
            end.recv()
        return now() - started


def _work(end: Connection, tokens: int, vocabulary: int) -> None:
    torch.set_num_threads(1)
    stage, known, asked = minilm(), None, []
    end.send("ready")
    while (wanted := end.recv()) is not None:
        if wanted != known:
            size, count = known = wanted
            asked = [(one, batch_of(size, tokens, vocabulary, n)) for n, one in enumerate(trials(stage, count))]
        end.send("ready")
        end.recv()
        for one, batch in asked:
            step_alone(one, batch)
        end.send("done")
