"""The memory of one trial: its peak, on the GPU if it trains there, else of the process; and the room for caches."""

from __future__ import annotations

import resource
from pathlib import Path

import ray
import torch

KEPT_SHARE = 0.25
"""The part of a node's memory for Ray processes that all its workers together may use for caches."""

_STATUS = Path("/proc/self/status")
_CLEAR = Path("/proc/self/clear_refs")


def reset_peak(device: torch.device) -> None:
    """Start a new measurement of the peak."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        return
    try:
        _CLEAR.write_text("5")  # Linux: resets the peak resident set to the present one
    except OSError:
        return


def peak_bytes(device: torch.device) -> int:
    """Return the most bytes in use since `reset_peak`: allocated on the GPU, or resident, shared pages included."""
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
    """Return the bytes that this Ray worker may keep: its part of `KEPT_SHARE` on a node full of such workers."""
    context = ray.get_runtime_context()
    node = next(one["Resources"] for one in ray.nodes() if one["NodeID"] == context.get_node_id())
    taken = {name: amount for name, amount in context.get_assigned_resources().items() if amount and name in node}
    workers = min((node[name] // amount for name, amount in taken.items()), default=1)
    return int(KEPT_SHARE * node.get("memory", 0) / max(1, workers))
