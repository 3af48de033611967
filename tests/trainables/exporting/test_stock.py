"""Stock forms: PEFT's own tuners, loaded by PEFT alone, compute the same."""

from __future__ import annotations

from pathlib import Path

import pytest

from spaces.errors import RequestError
from spaces.methods.base.method import Unfit
from spaces.methods.registry import method, methods
from tests.trainables.short_trainings import attached, usual
from tests.trainables.stock_checks import check_stock
from tests.trainables.tiny_models import ALL, BERT, GPT2, Tiny
from trainables.methods.registry import adapters
from trainables.tuners.adapter import NoStockForm

pytestmark = pytest.mark.slow

LINEAR = list({tiny.family: tiny for tiny in ALL if tiny.family != "gpt2"}.values())


@pytest.mark.parametrize("name", methods())
@pytest.mark.parametrize("tiny", [BERT, GPT2], ids=lambda tiny: tiny.family)
def test_a_stock_form_computes_the_same(tiny: Tiny, name: str, tmp_path: Path) -> None:
    try:
        method(name).count(usual(name), tiny.inventory)
        adapters()[name].stock(attached(tiny, name), usual(name))
    except Unfit:
        return
    except NoStockForm:
        with pytest.raises(RequestError, match="--format stock: "):
            check_stock(tiny, name, tmp_path)
        return
    check_stock(tiny, name, tmp_path)


@pytest.mark.parametrize("tiny", LINEAR, ids=lambda tiny: f"{tiny.family}-{tiny.task}")
def test_sparse_deltas_on_every_family(tiny: Tiny, tmp_path: Path) -> None:
    assert check_stock(tiny, "sparta", tmp_path, targets="all", density=0.02).peft_type == "SUPERTUNING"
