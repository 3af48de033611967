"""How far up a model computes what its base does: found by looking at it, and by training it and comparing."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from spaces.methods.base.method import Configuration
from spaces.methods.registry import method, methods
from spaces.model.inventory import depth
from tests.trainables.cases import fits
from tests.trainables.short_trainings import attached, train, usual
from tests.trainables.tiny_models import ALL, BERT, CAUSAL_GPT2, GPT2, LLAMA, Tiny
from trainables.adapters.attach import head_only
from trainables.training.frozen_blocks import Tower, draws_nothing, frozen_blocks, given_output, output_of, plain, tower

pytestmark = pytest.mark.slow

ROW = [tiny for tiny in ALL if tiny.family != "t5"]
DEEP = Tiny("roberta", BERT.task)
PLACES: list[dict[str, Any]] = [{}, *({"layers": layers} for layers in ("last-half", "last", "one"))]


def tower_of(tiny: Tiny) -> Tower:
    with torch.no_grad():
        return tower(tiny.model(), tiny.inventory, tiny.inputs())


def unchanged(tiny: Tiny, model: nn.Module, blocks: tuple[str, ...]) -> tuple[str, ...]:
    """The lowest blocks whose outputs are those of the base, to the bit."""
    same = []
    for block in blocks:
        expected, found = (_output(tiny, one, block) for one in (tiny.model(), model))
        if not torch.equal(expected, found):
            break
        same.append(block)
    return tuple(same)


@torch.no_grad()
def _output(tiny: Tiny, model: nn.Module, block: str) -> Tensor:
    seen: list[Tensor] = []
    handle = plain(model).get_submodule(block).register_forward_hook(lambda *given: seen.append(given[-1]))
    model.eval()(**tiny.inputs())
    handle.remove()
    return seen[0]


def cases() -> list[Any]:
    """Every method at every place, by turns on one base and on another."""
    found = []
    for name in methods():
        for number, settings in enumerate(PLACES):
            if settings and "layers" not in method(name).configuration.model_fields:
                continue
            chosen = _chosen(name, settings)
            fitting = [tiny for tiny in (DEEP, LLAMA, CAUSAL_GPT2) if chosen and fits(tiny, name, chosen)]
            if fitting:
                tiny = fitting[number % min(2, len(fitting))]
                label = f"{name}-{settings.get('layers', 'default')}-{tiny}"
                found.append(pytest.param(name, chosen, tiny, id=label))
    return found


def _chosen(name: str, settings: dict[str, Any]) -> Configuration | None:
    try:
        return usual(name, **settings)
    except ValueError:
        return None


@pytest.mark.parametrize(("name", "chosen", "tiny"), cases())
def test_blocks_are_frozen_that_no_training_changes(name: str, chosen: Configuration, tiny: Tiny) -> None:
    known, base = tower_of(tiny), tiny.model()
    model = attached(tiny, name, chosen)
    frozen = frozen_blocks(model, base, known)
    train(tiny, model, name, chosen, steps=3)
    assert frozen == unchanged(tiny, model, known.blocks)
    assert frozen == frozen_blocks(model, base, known)


@pytest.mark.parametrize("tiny", ROW, ids=str)
@pytest.mark.parametrize("layers", ["last-half", "last"])
def test_of_layers_the_lowest_is_where_they_begin(tiny: Tiny, layers: Any) -> None:
    model = attached(tiny, "lora", usual("lora", layers=layers))
    frozen = frozen_blocks(model, tiny.model(), tower_of(tiny))
    assert len(frozen) == tiny.inventory.blocks - depth(layers, tiny.inventory.blocks) > 0


@pytest.mark.parametrize("tiny", ROW, ids=str)
def test_under_the_head_alone_all_blocks_are_frozen(tiny: Tiny) -> None:
    model = head_only(tiny.model(), tiny.inventory)
    assert len(frozen_blocks(model, tiny.model(), tower_of(tiny))) == tiny.inventory.blocks


def test_an_encoder_beside_a_decoder_is_no_tower() -> None:
    (tiny,) = (tiny for tiny in ALL if tiny.family == "t5")
    assert tower_of(tiny).blocks == ()
    assert frozen_blocks(head_only(tiny.model(), tiny.inventory), tiny.model(), tower_of(tiny)) == ()


@pytest.mark.parametrize(("parameters", "count"), [("weights", 2), ("embeddings", 0), ("all", 0)])
def test_entries_of_embeddings_lie_under_all_blocks(parameters: str, count: int) -> None:
    where = {"layers": "last"} if parameters == "weights" else {}
    chosen = usual("sparta", parameters=parameters, **where)
    model = attached(BERT, "sparta", chosen)
    assert len(frozen_blocks(model, BERT.model(), tower_of(BERT))) == count


@pytest.mark.parametrize(
    "name",
    [
        "bert.embeddings.word_embeddings",
        "bert.embeddings",
        "bert.encoder",
        "bert.encoder.layer.1.attention.self.query",
        "bert.encoder.layer.1",
        "bert.pooler.dense",
    ],
)
@pytest.mark.parametrize("how", ["trained", "hooked", "overridden", "wrapped"])
def test_whatever_is_done_to_a_module_is_seen(name: str, how: str) -> None:
    model = BERT.model()
    module = model.get_submodule(name)
    if how == "trained":
        module.register_parameter("more", nn.Parameter(torch.zeros(1)))
    elif how == "hooked":
        module.register_forward_hook(lambda *given: given[-1])
    elif how == "overridden":
        vars(module)["forward"] = module.forward
    else:
        parent, _, child = name.rpartition(".")
        setattr(model.get_submodule(parent), child, nn.Sequential(module))
    expected = 3 if "pooler" in name else 1 if ".1" in name else 0
    assert len(frozen_blocks(model, BERT.model(), tower_of(BERT))) == expected


def test_what_is_tied_to_what_is_changed_counts_as_changed() -> None:
    model = CAUSAL_GPT2.model()
    assert model.lm_head.weight is model.transformer.wte.weight
    model.lm_head = nn.Sequential(model.lm_head)
    assert frozen_blocks(model, CAUSAL_GPT2.model(), tower_of(CAUSAL_GPT2)) == ()
    model = CAUSAL_GPT2.model()
    model.transformer.ln_f = nn.Sequential(model.transformer.ln_f)
    assert len(frozen_blocks(model, CAUSAL_GPT2.model(), tower_of(CAUSAL_GPT2))) == 2


@pytest.mark.parametrize("tiny", ROW, ids=str)
def test_blocks_that_are_given_their_output_do_not_compute(tiny: Tiny) -> None:
    model, inputs = tiny.model(), tiny.inputs()
    blocks = tower_of(tiny).blocks
    expected = tiny.logits(model)
    for count in range(1, len(blocks) + 1):
        with torch.no_grad():
            output = output_of(tiny.model(), blocks[count - 1], inputs)
        with torch.no_grad(), given_output(model, blocks[:count], output):
            assert torch.equal(model(**inputs).logits, expected)
        with torch.no_grad(), given_output(model, blocks[:count], torch.zeros_like(output)):
            assert not torch.equal(model(**inputs).logits, expected)
    assert torch.equal(tiny.logits(model), expected)
    assert not any("forward" in vars(module) for module in model.modules())


def test_a_forward_ends_at_the_block_that_is_asked_for() -> None:
    model, blocks = BERT.model(), tower_of(BERT).blocks
    model.get_submodule(blocks[1]).register_forward_hook(lambda *_: pytest.fail("it went on"))
    with torch.no_grad():
        output_of(model, blocks[0], BERT.inputs())
    assert not model.get_submodule(blocks[0])._forward_hooks


def test_a_block_that_gives_more_than_one_tensor_is_refused() -> None:
    (tiny,) = (tiny for tiny in ALL if tiny.family == "t5")
    with torch.no_grad(), pytest.raises(TypeError, match=r"encoder\.block\.0 gives tuple"):
        output_of(tiny.model(), "transformer.encoder.block.0", tiny.inputs())


class Dropping(nn.Module):
    """Leaves a row out, once in a hundred times."""

    def __init__(self, block: nn.Module) -> None:
        super().__init__()
        self.block = block

    def forward(self, hidden: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        given: Tensor = self.block(hidden, *args, **kwargs)
        return hidden if self.training and torch.rand(()) < 0.01 else given


@pytest.mark.parametrize("tiny", ROW, ids=str)
def test_randomness_in_training_is_seen(tiny: Tiny) -> None:
    """Of the families, BERT's and GPT-2 have dropout under their first block."""
    model, block = tiny.model(), tower_of(tiny).blocks[0]
    state = torch.get_rng_state()
    with torch.no_grad():
        quiet = draws_nothing(model, block, tiny.inputs())
        assert quiet == (tiny.family not in ("bert", "roberta", "distilbert", "gpt2"))
        for module in model.modules():
            if isinstance(module, nn.Dropout):
                module.p = 0.0
            if hasattr(module, "dropout_p"):
                module.dropout_p = 0.0
            if isinstance(getattr(module, "attention_dropout", None), float):
                module.attention_dropout = 0.0
        assert draws_nothing(model, block, tiny.inputs())
        parent, _, child = block.rpartition(".")
        setattr(model.get_submodule(parent), child, Dropping(model.get_submodule(block)).eval())
        assert not draws_nothing(model, block, tiny.inputs())
    assert torch.equal(torch.get_rng_state(), state)
    assert not model.training


def test_a_normalisation_over_the_batch_is_no_part_of_a_quiet_prefix() -> None:
    model = GPT2.model()
    model.transformer.drop = nn.Sequential(nn.Dropout(0.0))
    model.score = nn.Sequential(model.score, nn.BatchNorm1d(3))
    assert not draws_nothing(model, tower_of(GPT2).blocks[0], GPT2.inputs())


@pytest.mark.parametrize("name", ["prompt-tuning", "prefix-tuning"])
def test_prompts_change_what_enters_the_blocks(name: str) -> None:
    assert frozen_blocks(attached(CAUSAL_GPT2, name), CAUSAL_GPT2.model(), tower_of(CAUSAL_GPT2)) == ()
