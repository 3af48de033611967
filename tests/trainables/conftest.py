"""Fresh processes that have the large libraries."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest

from tests.preloaded_python import preloaded_python


@pytest.fixture(scope="module")
def preloaded_processes() -> Iterator[None]:
    """Python processes of a module, such as those that verify exports, need not import the large libraries."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "executable", preloaded_python())
        yield
