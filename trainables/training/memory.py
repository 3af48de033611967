"""Memory of one trial: its peak, of the GPU where it trains there, else of the process, and what it may keep."""

from __future__ import annotations

import resource
from pathlib import Path

import ray
import torch

KEPT_SHARE = 0.25
"""Of what Ray gives to the processes of a node, for all that its workers keep from trial to trial."""

_STATUS = Path("/proc/self/status")
_CLEAR = Path("/proc/self/clear_refs")


def reset_peak(device: torch.device) -> None:
    """Start to measure anew."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        return
    try:
        _CLEAR.write_text("5")  # Linux: sets the peak resident set to the present one
    except OSError:
        return


def peak_bytes(device: torch.device) -> int:
    """Most bytes in use since `reset_peak`: allocated on the GPU, or resident in memory (shared pages included)."""
    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(device))
    try:
        for line in _STATUS.read_text(encoding="ascii").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def spare_bytes() -> int:
    """What this Ray worker may keep in memory: its part of `KEPT_SHARE`, if the node were full of workers like it."""
    context = ray.get_runtime_context()
    node = next(one["Resources"] for one in ray.nodes() if one["NodeID"] == context.get_node_id())
    taken = {name: amount for name, amount in context.get_assigned_resources().items() if amount and name in node}
    workers = min((node[name] // amount for name, amount in taken.items()), default=1)
    return int(KEPT_SHARE * node.get("memory", 0) / max(1, workers))
