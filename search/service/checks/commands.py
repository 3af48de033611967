"""Commands that the service runs for its clients, few at once and each in a process with limits.

They read models and data that a client chose. So a model of ten million layers, or data without end, costs a bounded
time of one processor and a bounded memory, and does not delay other requests.
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
from search.service.checks import resource_limits
from search.service.problems import Problem
from spaces.errors import RequestError, WorkError

PROCESSES = 2
"""Commands that run at the same time; a client has one of them at most."""

PROCESSOR_SECONDS = 120
WALL_SECONDS = 180.0
ADDRESS_BYTES = 32 << 30
"""Limit of the address space, of which libraries reserve much that they never use."""

_LARGE = "allowed: a smaller model or smaller data, or `paretune validate` on a machine of your own"
_NO_MEMORY = re.compile(r"MemoryError|allocate memory|bad_alloc|Errno 12")

# Nothing is downloaded, because a check would fetch whole data sets.
_OFFLINE = dict.fromkeys(("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE", "TRANSFORMERS_OFFLINE"), "1")
_ENVIRONMENT = _OFFLINE | {"OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}

_lock = Lock()
_running: Counter[str] = Counter()


def run_check(command: Sequence[str], name: str, client: str) -> str:
    """Run a command within limits and return its standard output.

    Args:
        command: program and arguments.
        name: the command's name in messages.
        client: the client that asks.

    Raises:
        Problem: when too many commands run already; waiting would hold a thread that other requests need.
        RequestError: with the command's error line where it refuses the request, or when it exceeds a limit.
        WorkError: when it fails.
    """
    limits = [sys.executable, "-S", "-E", resource_limits.__file__, str(PROCESSOR_SECONDS), str(ADDRESS_BYTES)]
    # In an empty folder the name of a model or a data set on the hub is never that of a folder.
    with _one_of_few(client), tempfile.TemporaryDirectory() as empty:
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
    """Return the error for the exit code of a command, and the last line of its complaints."""
    if code == -signal.SIGXCPU:
        return RequestError(f"{name}: takes more than {PROCESSOR_SECONDS} s of a processor here; {_LARGE}")
    if code < 0 or (code == 1 and _NO_MEMORY.search(complaints)):
        return RequestError(f"{name}: takes more memory than it may have here; {_LARGE}")
    said = line or f"{name}: ended with code {code}"
    return RequestError(said) if code == 2 else WorkError(said)


@contextmanager
def _one_of_few(client: str) -> Iterator[None]:
    """Count a running command, or raise the problem that too many run."""
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
    """End a command and every process that it started."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
