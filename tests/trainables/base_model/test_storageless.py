"""A model without storage takes and refuses the inputs that the real one does."""

from __future__ import annotations

import contextlib

import pytest
import torch

from tests.trainables.tiny_models import ALL, BERT, VOCABULARY, Tiny
from trainables.base_model.config import model_class
from trainables.base_model.storageless import EmbeddingsReached, Lookup, Storageless, without_storage


@pytest.mark.parametrize("tiny", ALL, ids=str)
def test_outputs_have_the_shape_of_the_real_ones(tiny: Tiny) -> None:
    model = without_storage(model_class(tiny.config, tiny.task), tiny.config).eval()
    assert {parameter.device.type for parameter in model.parameters()} == {"meta"}
    with torch.no_grad(), Storageless():
        logits = model(**tiny.inputs()).logits
    assert logits.shape == tiny.logits(tiny.model()).shape


def test_an_id_without_a_row_is_an_error_and_recorded() -> None:
    model = without_storage(model_class(BERT.config, BERT.task), BERT.config)
    tokens = torch.tensor([[3, VOCABULARY]])
    with torch.no_grad(), Storageless() as mode, pytest.raises(IndexError, match=f"index {VOCABULARY} in an embedding"):
        model(input_ids=tokens)
    assert mode.lookups[0] == Lookup(VOCABULARY, VOCABULARY)


def test_embeddings_alone_end_at_the_first_product() -> None:
    model = without_storage(model_class(BERT.config, BERT.task), BERT.config)
    mode = Storageless(embeddings_alone=True)
    with torch.no_grad(), mode, contextlib.suppress(EmbeddingsReached):
        model(input_ids=torch.tensor([[3, 9, 4]]))
    assert mode.ended
    assert Lookup(VOCABULARY, 9) in mode.lookups
