"""A watchdog on the Ray head. When the head dies, Ray hangs, deaf to signals, then ends the process in its own way."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import ray
from rich.console import Console

from spaces.tcp import try_connecting

PAUSE_SECONDS = 1.0
# After so many seconds without its head Ray ends the process itself, and none of our handlers run.
RAYS_PATIENCE = ("RAY_gcs_rpc_server_reconnect_timeout_s", "60")

EXIT_CODE = "PARETUNE_HEAD_LOST"
"""Environment variable: the exit code of a driver that lost its head, for a caller that acts on it."""


@contextmanager
def watched_head(name: str, console: Console) -> Iterator[None]:
    """Watch the head within the block, and end the driver of search `name` after half of Ray's patience without it.

    Every record of a search is durable before it counts, so ending at any moment loses nothing.
    """
    over = threading.Event()
    address = ray.get_runtime_context().gcs_address
    patience = float(os.environ.get(*RAYS_PATIENCE)) / 2

    def watch() -> None:
        answered = time.monotonic()
        while not over.wait(PAUSE_SECONDS):
            if _answers(address):
                answered = time.monotonic()
            elif time.monotonic() - answered > patience:
                console.show_cursor()  # the live display hid it, and is not unwound
                complaint = f"the Ray head at {address} has not answered for {patience:g} s"
                print(f"paretune: {complaint}; `paretune resume {name}` goes on", file=sys.stderr, flush=True)
                os._exit(int(os.environ.get(EXIT_CODE, "1")))

    threading.Thread(target=watch, name="ray-head", daemon=True).start()
    try:
        yield
    finally:
        over.set()


def _answers(address: str) -> bool:
    host, _, port = address.rpartition(":")
    try:
        try_connecting(host.strip("[]"), int(port))
    except OSError:
        return False
    return True
