"""The place from which model cards of the first exports import `adapters`; it has moved to `trainables.methods`.

An export keeps its card, so that this name outlives the move.
"""

from __future__ import annotations

from trainables.methods.registry import adapters

__all__ = ["adapters"]
