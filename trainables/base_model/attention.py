"""The code that computes attention: transformers' choice, or the one that a spec asks for."""

from __future__ import annotations

from importlib.util import find_spec

from transformers import PreTrainedConfig, PreTrainedModel

from spaces.errors import RequestError, one_line
from spaces.spec.sections import ModelSection
from trainables.base_model.inventory import meta_model

FLASH = "flash_attention_2"


def check_attention(model: ModelSection, config: PreTrainedConfig) -> None:
    """Check that a model can compute attention as the spec asks for, and that the code for it is installed.

    Raises:
        RequestError: naming what is missing.
    """
    if model.attention == "auto":
        return
    if model.attention == FLASH and find_spec("flash_attn") is None:
        raise RequestError(
            f"model.attention = {FLASH}: needs the package flash-attn, which is not installed; allowed: auto, sdpa, "
            "eager"
        )
    try:
        set_attention(meta_model(config, model.task), model.attention)
    except ValueError as error:
        raise RequestError(
            f"model.attention = {model.attention}: {config.model_type} does not support it ({one_line(error)}); "
            "allowed: auto, or another one"
        ) from None


def set_attention(model: PreTrainedModel, attention: str) -> None:
    """Make a model compute attention in a way, in place.

    Raises:
        ValueError: when it cannot.
    """
    if attention == "auto":
        return
    model.set_attn_implementation(attention)
    if model.config._attn_implementation != attention:
        raise ValueError(f"{type(model).__name__} computes attention in its own way")
