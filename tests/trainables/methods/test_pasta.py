"""PASTA, and the ids that its blocks see: always those of the forward they belong to."""

from __future__ import annotations

import copy
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from spaces.methods.base.method import Unfit
from spaces.methods.registry import configuration
from spaces.spec.sections import Task
from tests.trainables.short_trainings import attached, close, train
from tests.trainables.tiny_models import BERT, ROWS, TOKENS, VOCABULARY, Tiny
from trainables.adapters.attach import attach
from trainables.methods.pasta import PastaBlock
from trainables.tuners.blocks import block_of
from trainables.tuners.input_ids import reader_around

T5 = Tiny("t5", Task.SEQUENCE_CLASSIFICATION)
LLAMA = Tiny("llama", Task.CAUSAL_LM)
IDS = torch.tensor([[1, 5, 2, 5, 1], [2, 2, 9, 9, 9], [7, 7, 7, 7, 7]])


def pasta(tiny: Tiny, tokens: str = "1,2", dropout: float = 0.0) -> PeftModel:
    """With random vectors."""
    chosen = configuration("pasta", {"token_ids": tokens, "dropout": dropout})
    model = attach(tiny.model(), "pasta", chosen, tiny.inventory, seed=1)
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for block in blocks(model):
            vectors = block.pasta_vectors["default"]
            vectors.copy_(torch.randn(vectors.shape, generator=generator))
    return model.eval()


def blocks(model: nn.Module) -> list[PastaBlock]:
    return [module for module in model.modules() if isinstance(module, PastaBlock)]


def by_hand(tiny: Tiny, model: PeftModel, ids: list[Tensor], tokens: tuple[int, ...], **inputs: Tensor) -> Tensor:
    """Logits of the base with hooks that add the vectors row by row; `ids` are those that each block reads."""
    base = tiny.model()
    base.classifier = copy.deepcopy(model.base_model.model.classifier)
    places = [path.removeprefix("base_model.model.") for path, one in model.named_modules() if type(one) is PastaBlock]
    for place, block, seen in zip(places, blocks(model), ids, strict=True):
        added = torch.zeros(*seen.shape, block.pasta_vectors["default"].shape[1])
        for row in range(seen.shape[0]):
            for column in range(seen.shape[1]):
                if int(seen[row, column]) in tokens:
                    added[row, column] = block.pasta_vectors["default"][tokens.index(int(seen[row, column]))].detach()
        base.get_submodule(place).register_forward_pre_hook(
            lambda module, args, added=added: (args[0] + added, *args[1:])
        )
    with torch.no_grad():
        logits: Tensor = base(**inputs).logits
    return logits


def test_vectors_are_added_at_their_tokens_alone() -> None:
    model = pasta(BERT)
    inputs = {"input_ids": IDS, "attention_mask": torch.ones_like(IDS)}
    with torch.no_grad():
        close(model(**inputs).logits, by_hand(BERT, model, [IDS] * 3, (1, 2), **inputs), 1e-6)
        assert not torch.allclose(model(**inputs).logits, BERT.model()(**inputs).logits, atol=1e-3)
        close(model(IDS, torch.ones_like(IDS)).logits, model(**inputs).logits, 0)


def test_padding_is_no_token() -> None:
    model = pasta(BERT)
    mask = torch.tensor([[1, 1, 1, 1, 0], [0, 1, 1, 1, 1], [1, 1, 1, 1, 1]])
    seen = IDS.masked_fill(mask == 0, -1)
    inputs = {"input_ids": IDS, "attention_mask": mask}
    with torch.no_grad():
        close(model(**inputs).logits, by_hand(BERT, model, [seen] * 3, (1, 2), **inputs), 1e-6)


def test_an_encoder_and_a_decoder_see_their_own_ids() -> None:
    model = pasta(T5, "1,0")
    ids = T5.inputs()["input_ids"]
    shifted = torch.cat([torch.zeros(ROWS, 1, dtype=torch.long), ids[:, :-1]], dim=1)
    seen: list[Tensor] = []
    for block in blocks(model):
        block.register_forward_pre_hook(lambda module, args: seen.append(module._ids().clone()))
    T5.logits(model)
    assert [one.tolist() for one in seen] == [ids.tolist()] * 2 + [shifted.tolist()] * 2


def test_generation_with_a_cache_is_generation_without() -> None:
    model = pasta(LLAMA)
    prompt = torch.tensor([[0, 0, 1, 5, 2], [3, 2, 2, 9, 1]])
    mask = torch.tensor([[0, 0, 1, 1, 1], [1, 1, 1, 1, 1]])
    written = [
        model.generate(input_ids=prompt, attention_mask=mask, max_new_tokens=8, do_sample=False, use_cache=cache)
        for cache in (False, True)
    ]
    assert torch.equal(*written)


@pytest.mark.parametrize("reentrant", [False, True])
def test_gradients_of_two_forwards_under_checkpointing(reentrant: bool) -> None:
    """Each backward recomputes blocks after another batch has passed."""
    gradients = []
    for checkpointing in (False, True):
        model = pasta(BERT)
        if checkpointing:
            model.enable_input_require_grads()
            model.gradient_checkpointing_enable({"use_reentrant": reentrant})
        model.train()
        for module in model.modules():
            if isinstance(module, nn.Dropout):
                module.p = 0.0
        batches = [IDS, IDS.flip(1)]
        losses = [model(input_ids=one).logits.square().sum() for one in batches]
        (losses[0] + 2 * losses[1]).backward()
        gradients.append([block.pasta_vectors["default"].grad for block in blocks(model)])
    for one, other in zip(*gradients, strict=True):
        assert float(one.abs().max()) > 0
        torch.testing.assert_close(one, other, atol=1e-6, rtol=1e-4)


def test_embeddings_in_place_of_ids_are_refused_in_one_line() -> None:
    model = pasta(BERT)
    embeddings = BERT.model().get_input_embeddings()(IDS)
    with pytest.raises(ValueError, match="the adapter needs input_ids: the model was called with embeddings alone"):
        model(inputs_embeds=embeddings)
    BERT.logits(model)
    with model.disable_adapter(), torch.no_grad():
        expected = BERT.model()(inputs_embeds=embeddings).logits
        close(model(inputs_embeds=embeddings).logits, expected, 0)


def test_ids_do_not_outlive_their_forward() -> None:
    model = pasta(BERT)
    BERT.logits(model)
    with pytest.raises(ValueError, match="needs input_ids"):
        blocks(model)[0](torch.zeros(ROWS, TOKENS, 16))
    failing = blocks(model)[-1].base_layer.register_forward_pre_hook(_fail)
    with pytest.raises(RuntimeError, match="on purpose"):
        BERT.logits(model)
    failing.remove()
    with pytest.raises(ValueError, match="needs input_ids"):
        blocks(model)[0](torch.zeros(ROWS, TOKENS, 16))


def _fail(*_: object) -> None:
    raise RuntimeError("on purpose")


def test_a_copy_follows_its_own_model() -> None:
    model = pasta(BERT)
    expected = BERT.logits(model)
    copied = copy.deepcopy(model)
    del model
    close(BERT.logits(copied), expected, 0)


def test_adapters_have_their_own_tokens() -> None:
    model = pasta(BERT, "1")
    other = copy.deepcopy(model.peft_config["default"])
    other.token_ids = [2, 7]
    model.add_adapter("other", other)
    assert blocks(model)[0].pasta_vectors["other"].shape == (2, 16)

    @torch.no_grad()
    def moved(*names: str) -> list[bool]:
        """Which rows the adapters move: the first token of each is 1, 2, 7."""
        for block in blocks(model):
            block.pasta_vectors["other"].normal_()
            block.set_adapter(list(names))
        difference = model(input_ids=IDS).logits - BERT.model()(input_ids=IDS).logits
        return (difference.abs().amax(1) > 1e-3).tolist()

    assert moved("default") == [True, False, False]
    assert moved("default", "other") == [True, True, True]
    assert moved("other")[1:] == [True, True]
    assert moved("default") == [True, False, False]


def test_unloading_leaves_no_hook_behind() -> None:
    plain = pasta(BERT).unload()
    assert not any(module._forward_pre_hooks or module._forward_hooks for module in plain.modules())
    assert not any(isinstance(module, PastaBlock) for module in plain.modules())


@pytest.mark.parametrize("training", [False, True])
def test_dropout_acts_while_training_alone(training: bool) -> None:
    model = pasta(BERT, dropout=0.5)
    own = {block.pasta_dropout["default"] for block in blocks(model)}
    for module in model.modules():
        if isinstance(module, nn.Dropout) and module not in own:
            module.p = 0.0
    model.train(training)
    with torch.no_grad():
        one, other = (model(**BERT.inputs()).logits for _ in range(2))
    assert torch.equal(one, other) is not training


def test_merging_is_refused_in_one_line() -> None:
    model = pasta(BERT)
    message = "pasta cannot be merged into the base's weights; allowed: keep it as an adapter"
    for merge in (model.merge_adapter, model.merge_and_unload):
        with pytest.raises(ValueError, match=message):
            merge()
    assert BERT.logits(model).isfinite().all()


def test_a_model_without_ids_is_refused() -> None:
    vit = Tiny("vit", Task.IMAGE_CLASSIFICATION).model()
    with pytest.raises(ValueError, match="ViTForImageClassification takes no input_ids"):
        reader_around(vit, "vit.layers.0")
    assert reader_around(BERT.model(), "bert.encoder.layer.0") == "bert"
    assert block_of("transformer.encoder.block.11.layer.0.SelfAttention.q") == "transformer.encoder.block.11"


LOADING = """
import sys, torch
from safetensors.torch import load_file, save_file
from peft import PeftModel
from tests.trainables.tiny_models import BERT
from trainables.methods.registry import adapters
adapters()
model = PeftModel.from_pretrained(BERT.model(), sys.argv[1])
save_file({"logits": BERT.logits(model)}, sys.argv[2])
"""


def test_it_loads_in_a_fresh_process(tmp_path: Path, preloaded_processes: None) -> None:
    model = train(BERT, attached(BERT, "pasta"), "pasta")
    model.save_pretrained(tmp_path / "adapter")
    saved = load_file(tmp_path / "adapter" / "adapter_model.safetensors")
    assert sum("pasta_vectors" in name for name in saved) == 3
    save_file({"logits": BERT.logits(model)}, tmp_path / "here")
    subprocess.run(
        [sys.executable, "-c", LOADING, str(tmp_path / "adapter"), str(tmp_path / "there")],
        check=True,
        cwd=Path(__file__).resolve().parents[3],
    )
    close(load_file(tmp_path / "there")["logits"], load_file(tmp_path / "here")["logits"], 1e-6)


def test_ids_beyond_the_vocabulary_are_refused() -> None:
    with pytest.raises(Unfit, match=f"token_ids = {VOCABULARY}: bert knows ids below {VOCABULARY}$"):
        pasta(BERT, str(VOCABULARY))
