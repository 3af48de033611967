"""Defaults that commands need before they load a spec. Imports nothing, so that `paretune --help` stays quick."""

from __future__ import annotations

DEFAULT_STORAGE = "./paretune-runs"
"""The folder in which searches keep their runs."""
