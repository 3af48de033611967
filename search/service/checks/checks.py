"""Commands that a service runs for whoever asks, each in a process of its own: few at once, each with limits.

They read models and data that somebody else chose, so that a model of ten million layers, or data without end, costs a
bounded time of one processor and a bounded memory, and nobody who only looks on waits for it.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from threading import Lock

from search.command_process import last_complaint
from search.service.checks import limited
from search.service.problems import Problem
from spaces.errors import RequestError, WorkError

PROCESSES = 2
"""At once, and one for each who asks."""

PROCESSOR_SECONDS = 120
WALL_SECONDS = 180.0
ADDRESS_BYTES = 32 << 30
"""Of address space, of which libraries reserve much that they never use."""

_LARGE = "allowed: a smaller model or smaller data, or `paretune validate` on a machine of your own"
_NO_MEMORY = re.compile(r"MemoryError|allocate memory|bad_alloc|Errno 12")

# What is not on this machine is not fetched: a check would download whole data sets.
_OFFLINE = dict.fromkeys(("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE", "TRANSFORMERS_OFFLINE"), "1")
_ENVIRONMENT = _OFFLINE | {"OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}

_lock = Lock()
_running: Counter[str] = Counter()


def run_check(command: Sequence[str], name: str, client: str) -> str:
    """What a command, called `name`, prints.

    Args:
        client: who asks.

    Raises:
        Problem: when too many run already; nobody waits for a turn, which would keep others from being answered.
        RequestError: with its line, when it says that the request is wrong, or it is too large to be checked here.
        WorkError: when it fails.
    """
    limits = [sys.executable, "-S", "-E", limited.__file__, str(PROCESSOR_SECONDS), str(ADDRESS_BYTES)]
    with _turn(client), tempfile.TemporaryDirectory() as empty:  # names of models and data are no folders
        process = subprocess.Popen(
            [*limits, *command],
            cwd=empty,
            env=os.environ | _ENVIRONMENT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            errors="replace",
            start_new_session=True,
        )
        try:
            said, complaints = process.communicate(timeout=WALL_SECONDS)
        except subprocess.TimeoutExpired:
            raise RequestError(f"{name}: takes longer than {WALL_SECONDS:g} s here; {_LARGE}") from None
        finally:
            _end(process)
    if process.returncode == 0:
        return said
    raise _error(name, process.returncode, last_complaint(complaints), complaints)


def _error(name: str, code: int, line: str | None, complaints: str) -> RequestError | WorkError:
    """What is to be said of a command that ended so."""
    if code == -signal.SIGXCPU:
        return RequestError(f"{name}: takes more than {PROCESSOR_SECONDS} s of a processor here; {_LARGE}")
    if code < 0 or (code == 1 and _NO_MEMORY.search(complaints)):
        return RequestError(f"{name}: takes more memory than it may have here; {_LARGE}")
    said = line or f"{name}: ended with code {code}"
    return RequestError(said) if code == 2 else WorkError(said)


@contextmanager
def _turn(client: str) -> Iterator[None]:
    with _lock:
        if _running[client] or _running.total() >= PROCESSES:
            whose = "of yours is" if _running[client] else "of others are"
            raise Problem(503, f"checks {whose} being made already", {"Retry-After": "10"})
        _running[client] += 1
    try:
        yield
    finally:
        with _lock:
            del _running[client]


def _end(process: subprocess.Popen[str]) -> None:
    """End it with whatever it started."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
