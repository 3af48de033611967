"""Configurations of every method that tiny models can hold, and which methods are our own."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st
from peft.mapping import PEFT_TYPE_TO_TUNER_MAPPING

from spaces.methods.base.method import Configuration, Unfit
from spaces.methods.registry import method, methods
from spaces.model.inventory import LAYER_RANGES, TARGETS
from tests.trainables.tiny_models import BERT, GPT2, Tiny
from trainables.methods.registry import adapters

PLACES = st.fixed_dictionaries(
    {"targets": st.sampled_from(TARGETS), "layers": st.one_of(st.sampled_from(LAYER_RANGES), st.integers(1, 5))}
)
SURM: dict[str, st.SearchStrategy[Any]] = {
    "placement": st.sampled_from(["lora", "adapter"]),
    "block_size": st.sampled_from(["whole", 2, 4]),
    "trainable_alpha": st.booleans(),
}
OWN: dict[str, st.SearchStrategy[dict[str, Any]]] = {
    "lora": st.one_of(
        st.fixed_dictionaries({"rank": st.integers(1, 5), "variant": st.sampled_from(["lora", "rslora", "dora"])}),
        st.fixed_dictionaries(
            {"rank": st.sampled_from([2, 4]), "init": st.sampled_from(["pissa", "olora", "orthogonal"])}
        ),
    ),
    "sparta": st.fixed_dictionaries(
        {
            "density": st.floats(1e-4, 1.0),
            "seed": st.integers(0, 5),
            "selection": st.sampled_from(["exact", "bernoulli"]),
            "density_of": st.sampled_from(["targets", "model"]),
            "parameters": st.sampled_from(["weights", "weights-and-biases", "embeddings", "all"]),
            "indices": st.sampled_from(["stored", "seed"]),
        }
    ),
    "dst": st.fixed_dictionaries(
        {"density": st.floats(1 / 96, 1.0), "silo": st.sampled_from(["tensor", "module", "global"])},
        optional={
            "distance": st.sampled_from(["relative", "inverse-relative"]),
            "density_decay": st.sampled_from(["linear", "cosine"]),
            "reset_state": st.just("clear"),
        },
    ),
    "lora-xs": st.fixed_dictionaries({"rank": st.integers(1, 12)}),
    "melora": st.fixed_dictionaries({"rank": st.integers(1, 3), "groups": st.sampled_from([1, 2, 4])}),
    "ether": st.fixed_dictionaries(
        {"side": st.sampled_from(["input", "output"]), "blocks": st.sampled_from([1, 2, 4])}
    ),
    "ether-plus": st.fixed_dictionaries(
        {"side": st.sampled_from(["both", "input", "output"]), "blocks": st.sampled_from([1, 2, 4])}
    ),
    "lorta": st.fixed_dictionaries({"rank": st.integers(1, 5), "heads": st.sampled_from([1, 2, 4])}),
    "hadamard": st.fixed_dictionaries({"layers": st.one_of(st.sampled_from(LAYER_RANGES), st.integers(1, 5))}),
    "pasta": st.fixed_dictionaries(
        {
            "token_ids": st.sampled_from(["1", "1,7", "0,1,2"]),
            "layers": st.one_of(st.sampled_from(LAYER_RANGES), st.integers(1, 5)),
        }
    ),
    "adalora": st.fixed_dictionaries({"rank": st.integers(1, 5)}),
    "vera": st.fixed_dictionaries({"rank": st.integers(1, 30)}),
    "randlora": st.fixed_dictionaries({"rank": st.integers(1, 30)}),
    "loha": st.fixed_dictionaries({"rank": st.integers(1, 5)}),
    "lokr": st.fixed_dictionaries(
        {"rank": st.integers(1, 9), "factor": st.one_of(st.just("square"), st.integers(1, 30))}
    ),
    "c3a": st.fixed_dictionaries({"block_size": st.sampled_from(["largest", 1, 2, 3, 4, 8, 16])}),
    "shira": st.fixed_dictionaries({"rank": st.integers(1, 9)}),
    "oft": st.fixed_dictionaries({"block_size": st.sampled_from([1, 2, 3, 4, 6, 8, 16])}),
    "boft": st.fixed_dictionaries({"block_size": st.sampled_from([1, 2, 3, 4, 6, 8, 16])}),
    "hra": st.fixed_dictionaries({"rank": st.sampled_from([2, 4, 6])}),
    "fourierft": st.fixed_dictionaries({"coefficients": st.integers(1, 300)}),
    "waveft": st.fixed_dictionaries({"coefficients": st.integers(1, 300)}),
    "miss": st.fixed_dictionaries({"rank": st.integers(1, 30)}),
    "bitfit": st.fixed_dictionaries({"layers": st.one_of(st.just("all"), st.integers(1, 5))}),
    "ln-tuning": st.fixed_dictionaries({"layers": st.one_of(st.just("all"), st.integers(1, 5))}),
    "trainable-tokens": st.fixed_dictionaries({"tokens": st.integers(1, 45), "first_token": st.integers(0, 45)}),
    "prompt-tuning": st.fixed_dictionaries({"virtual_tokens": st.integers(1, 12)}),
    "prefix-tuning": st.fixed_dictionaries({"virtual_tokens": st.integers(1, 12)}),
    "surm-circulant": st.fixed_dictionaries(SURM),
    "surm-toeplitz": st.fixed_dictionaries(SURM | {"symmetric": st.booleans()}),
    "surm-kronecker": st.fixed_dictionaries(SURM | {"factors": st.sampled_from(["paper", "square"])}),
    "surm-ldr": st.fixed_dictionaries(SURM | {"displacement_rank": st.integers(1, 3)}),
}


# Where a method's default does not suit models as small as these.
TINY: dict[str, dict[str, Any]] = {"pasta": {"token_ids": "1"}}


def foreign(name: str) -> bool:
    """Whether the tuner is PEFT's own: its mathematics is tested there, here that it is used rightly."""
    tiny = next(one for one in (BERT, GPT2) if fits(one, name, method(name).configuration(**TINY.get(name, {}))))
    config = adapters()[name].peft_config(method(name).configuration(), tiny.inventory, seed=1)
    tuner = PEFT_TYPE_TO_TUNER_MAPPING[config.peft_type]
    return getattr(tuner, "tuner_layer_cls", tuner).__module__.startswith("peft.")


def fits(tiny: Tiny, name: str, configuration: Configuration) -> bool:
    """Whether the configuration, as large as it may be, can exist on the model."""
    try:
        method(name).fit(configuration, tiny.inventory, tiny.inventory.base_parameters)
    except Unfit:
        return False
    return True


OURS = tuple(name for name in methods() if not foreign(name))
FOREIGN = tuple(name for name in methods() if foreign(name))


@st.composite
def configurations(draw: st.DrawFn, name: str) -> Configuration:
    known = method(name)
    values = draw(OWN.get(name, st.just({})))
    if known.placed:
        values |= draw(PLACES)
    configuration: Configuration = known.configuration(**values)
    return configuration
