"""Fresh processes of Python that need not import torch, transformers and PEFT, which takes each of them seconds.

`WarmPython` starts a process that imports these libraries, and nothing of this project, and splits for every command.
`python -I tests/warm_python.py` is that process: it reads requests as lines of JSON and answers with exit codes.
"""

from __future__ import annotations

import contextlib
import json
import os
import runpy
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

STREAMS = ("stdin", "stdout", "stderr")


class WarmPython:
    """Runs what `python ARGUMENTS` would run; ARGUMENTS begin with `-c`, `-m` or a file, or `-I` before them."""

    def __init__(self) -> None:
        self._server = subprocess.Popen(
            [sys.executable, "-I", __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def run(
        self,
        command: Sequence[str],
        *,
        input: str = "",
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
        check: bool = False,
        **_: Any,
    ) -> subprocess.CompletedProcess[str]:
        """Run one command, as `subprocess.run` does that captures text."""
        assert self._server.stdin is not None
        assert self._server.stdout is not None
        with tempfile.TemporaryDirectory() as temporary:
            files = [Path(temporary) / name for name in STREAMS]
            files[0].write_text(input, encoding="utf-8")
            request = {
                "arguments": list(command[1:]),
                "cwd": str(cwd or Path.cwd()),
                "env": dict(os.environ if env is None else env),
                "files": [str(file) for file in files],
            }
            self._server.stdin.write(json.dumps(request) + "\n")
            self._server.stdin.flush()
            code = int(self._server.stdout.readline())
            _, out, err = (file.read_text(encoding="utf-8", errors="replace") for file in files)
        done = subprocess.CompletedProcess(command, code, out, err)
        if check:
            done.check_returncode()
        return done

    def close(self) -> None:
        """End the process."""
        self._server.communicate()


def serve() -> None:
    """Answer requests until there are no more."""
    requests, answers = os.fdopen(os.dup(0)), os.fdopen(os.dup(1), "w")
    for line in requests:
        process = os.fork()
        if process == 0:
            os._exit(_executed(**json.loads(line)))
        _, status = os.waitpid(process, 0)
        print(os.waitstatus_to_exitcode(status), file=answers, flush=True)


def _executed(arguments: list[str], cwd: str, env: dict[str, str], files: list[str]) -> int:
    for number, (name, file) in enumerate(zip(STREAMS, files, strict=True)):
        os.dup2(os.open(file, os.O_RDWR | os.O_CREAT), number)
        setattr(sys, name, os.fdopen(number, "w" if number else "r", encoding="utf-8", closefd=False))
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(env)
    try:
        _execute(arguments)
    except SystemExit as end:
        if end.code is None or isinstance(end.code, int):
            return end.code or 0
        print(end.code, file=sys.stderr)
        return 1
    except BaseException:
        traceback.print_exc()
        return 1
    finally:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
    return 0


def _execute(arguments: list[str]) -> None:
    if arguments[0] == "-I":
        del arguments[0]
    else:
        sys.path.insert(0, "")
    match arguments:
        case ["-c", code, *rest]:
            sys.argv = ["-c", *rest]
            exec(compile(code, "<string>", "exec"), {"__name__": "__main__"})
        case ["-m", module, *rest]:
            sys.argv = [module, *rest]
            runpy.run_module(module, run_name="__main__", alter_sys=True)
        case [file, *rest]:
            sys.argv = [file, *rest]
            runpy.run_path(file, run_name="__main__")


if __name__ == "__main__":
    for library in ("peft", "torch", "transformers", "numba", "pydantic", "sklearn.metrics", "transformers.generation"):
        with contextlib.suppress(ImportError):
            __import__(library)
    serve()
