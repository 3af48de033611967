"""Networks of worker nodes that can be cut: a network namespace for each, on one bridge, as on machines of their own.

Where the machine allows none (it is not ours to administer, say), nodes are plain processes, and a node is cut off by
stopping all of its processes for that time: it says nothing then and hears nothing, but neither does it work.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass

import psutil

from tests.search.ray_nodes import family

HERE = "127.0.0.1"


@dataclass(frozen=True)
class Network:
    """Where one node runs, at `address`. `namespace`, `link`: its network and this end of its cable, if it has them."""

    address: str = HERE
    namespace: str | None = None
    link: str | None = None

    @property
    def within(self) -> tuple[str, ...]:
        """What runs a command there."""
        return ("ip", "netns", "exec", self.namespace) if self.namespace else ()

    def cut(self, node: subprocess.Popen[bytes]) -> None:
        """Nothing passes between the node and any other, and nobody is told."""
        if self.link is not None:
            _ip("link", "set", self.link, "down")
        else:
            _each(node, psutil.Process.suspend)

    def mend(self, node: subprocess.Popen[bytes]) -> None:
        """It passes again."""
        if self.link is not None:
            _ip("link", "set", self.link, "up")
        else:
            _each(node, psutil.Process.resume)


@dataclass(frozen=True)
class Networks:
    """`head`: an address that all nodes reach."""

    head: str
    nodes: tuple[Network, ...]

    @property
    def apart(self) -> bool:
        """Whether each node has a network of its own."""
        return all(node.namespace for node in self.nodes)


@contextlib.contextmanager
def networks(count: int) -> Iterator[Networks]:
    """Networks for so many nodes; nothing of them stays."""
    with ExitStack() as ending:
        try:
            found = _apart(count, ending)
        except (OSError, subprocess.CalledProcessError):
            found = Networks(HERE, (Network(),) * count)
        yield found


def _apart(count: int, ending: ExitStack) -> Networks:
    """Names and addresses follow from this process, for others may do the same on this machine."""
    own = os.getpid()
    subnet = f"10.{100 + own // 250 % 100}.{own % 250}"
    bridge = f"pt{own}b"
    with ExitStack() as undo:
        _ip("link", "add", bridge, "type", "bridge")
        undo.callback(_ip, "link", "delete", bridge)
        _ip("address", "add", f"{subnet}.1/24", "dev", bridge)
        _ip("link", "set", bridge, "up")
        nodes = tuple(_network(number, f"{subnet}.{number + 2}", bridge, undo) for number in range(count))
        ending.push(undo.pop_all())
    return Networks(f"{subnet}.1", nodes)


def _network(number: int, address: str, bridge: str, undo: ExitStack) -> Network:
    namespace, link, inside = (f"pt{os.getpid()}{part}{number}" for part in "nvi")
    _ip("netns", "add", namespace)
    undo.callback(_ip, "netns", "delete", namespace)
    undo.callback(_end_all, namespace)
    _ip("link", "add", link, "type", "veth", "peer", "name", inside, "netns", namespace)
    undo.callback(_ip, "link", "delete", link)
    _ip("link", "set", link, "master", bridge, "up")
    for device in ("lo", inside):
        _ip("-n", namespace, "link", "set", device, "up")
    _ip("-n", namespace, "address", "add", f"{address}/24", "dev", inside)
    _ip("netns", "exec", namespace, "true")
    return Network(address, namespace, link)


def _end_all(namespace: str) -> None:
    """End what still runs there; a namespace lives as long as a process is in it."""
    for pid in _ip("netns", "pids", namespace).split():
        with contextlib.suppress(psutil.Error):
            psutil.Process(int(pid)).kill()


def _ip(*arguments: str) -> str:
    return subprocess.run(["ip", *arguments], capture_output=True, text=True, check=True, timeout=30).stdout


def _each(node: subprocess.Popen[bytes], act: Callable[[psutil.Process], None]) -> None:
    for process in family(node) if node.poll() is None else ():
        with contextlib.suppress(psutil.Error):
            act(process)
