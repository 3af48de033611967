"""The inventory that tests of counts and spaces share."""

from __future__ import annotations

import pytest

from spaces.model.inventory import Inventory
from tests.spaces.mini_lm import mini_lm


@pytest.fixture
def inventory() -> Inventory:
    return mini_lm()
