"""A Python whose processes have the large libraries already: those that load exports, and workers of Ray.

To import torch, transformers and PEFT takes a process seconds. `preloaded_python` gives a program to use in place of
`sys.executable`: for the commands in `PRELOADED` it asks a process with these libraries, and with no module of this
project or of Ray, to split; every other command it gives to the Python that runs here.

The process that splits runs `python -I tests/preloaded_python.py SOCKET`, until its standard input ends.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import importlib
import json
import os
import runpy
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from pathlib import Path

PRELOADED = (
    "-c",
    "trainables.adapters.verification",
    "trainables.generation.saved_answers",
    "stock_verification.py",
    "default_worker.py",
)
LIBRARIES = (
    "accelerate",
    "numba",
    "peft",
    "pydantic",
    "sklearn.metrics",
    "transformers",
    "transformers.generation",
    "transformers.models.auto",
    "transformers.models.bert.modeling_bert",
)

# The isolated Python that runs it starts within milliseconds. It ends with the process that it asked for.
PROGRAM = """#!{python} -IS
import json, os, socket, sys

arguments = sys.argv[1:]
if not any(one.endswith({preloaded!r}) for one in arguments):
    os.execv({python!r}, [{python!r}, *arguments])
with socket.socket(socket.AF_UNIX) as asked:
    asked.connect({socket!r})
    request = json.dumps({{"arguments": arguments, "environment": dict(os.environ), "folder": os.getcwd()}}).encode()
    socket.send_fds(asked, [len(request).to_bytes(8, "big")], [0, 1, 2])
    asked.sendall(request)
    code = asked.recv(1)
sys.exit(code[0] if code else 1)
"""


@functools.cache
def preloaded_python() -> str:
    """Start the process that splits, which ends with this one, and return the program that asks it."""
    folder = tempfile.TemporaryDirectory(prefix="python-", ignore_cleanup_errors=True)
    place, program = Path(folder.name) / "socket", Path(folder.name) / "python"
    server = subprocess.Popen(
        [sys.executable, "-I", __file__, str(place)], stdin=subprocess.PIPE, start_new_session=True
    )
    while not place.exists():
        assert server.poll() is None, "the process that splits ended"
        time.sleep(0.02)
    program.write_text(PROGRAM.format(python=sys.executable, preloaded=PRELOADED, socket=str(place)))
    program.chmod(0o755)

    def close() -> None:
        server.communicate()
        folder.cleanup()

    atexit.register(close)
    return str(program)


def serve(place: str) -> None:
    """Split for every request at the socket `place`."""
    for library in LIBRARIES:
        importlib.import_module(library)
    threading.Thread(target=_end_with_the_input, daemon=True).start()
    signal.signal(signal.SIGCHLD, _reap)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(place + ".new")
        listener.listen(64)
        os.rename(place + ".new", place)
        while True:
            asking, _ = listener.accept()
            if os.fork() == 0:
                listener.close()
                _run(asking)
            asking.close()


def _end_with_the_input() -> None:
    # Not by `sys.stdin`, which the processes that split would find locked.
    while os.read(0, 1):
        pass
    os._exit(0)


def _reap(*_: object) -> None:
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def _run(asking: socket.socket) -> None:
    """Be the process that was asked for, and end."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.setsid()
    length, files, _, _ = socket.recv_fds(asking, 8, 3)
    with asking.makefile("rb") as stream:
        request = json.loads(stream.read(int.from_bytes(length, "big")))
    for number, file in enumerate(files):
        os.dup2(file, number)
        os.close(file)
    os.chdir(request["folder"])
    os.environ.clear()
    os.environ.update(request["environment"])
    threading.Thread(target=_end_with, args=(asking,), daemon=True).start()
    code = 1
    try:
        code = _executed(request["arguments"])
    finally:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        asking.send(bytes([code & 0xFF]))
        os._exit(code)


def _end_with(asking: socket.socket) -> None:
    """End when the program that asked is killed."""
    asking.recv(1)
    os._exit(1)


def _executed(arguments: list[str]) -> int:
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
    return 0


def _execute(arguments: list[str]) -> None:
    match arguments:
        case ["-c", code, *rest]:
            sys.path.insert(0, "")
            sys.argv = ["-c", *rest]
            exec(compile(code, "<string>", "exec"), {"__name__": "__main__"})
        case ["-m", module, *rest]:
            sys.path.insert(0, "")
            sys.argv = [module, *rest]
            runpy.run_module(module, run_name="__main__", alter_sys=True)
        case ["-I", file, *rest] | [file, *rest]:
            sys.argv = [file, *rest]
            runpy.run_path(file, run_name="__main__")


if __name__ == "__main__":
    serve(sys.argv[1])
