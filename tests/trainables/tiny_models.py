"""A tiny model of every family, with random weights in memory that refuses to be written by NumPy."""

from __future__ import annotations

import hashlib
import warnings
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from transformers import (
    AlbertConfig,
    BartConfig,
    BertConfig,
    BloomConfig,
    CLIPConfig,
    ConvNextConfig,
    DebertaConfig,
    DebertaV2Config,
    Dinov2Config,
    DistilBertConfig,
    ElectraConfig,
    FalconConfig,
    Gemma2Config,
    Gemma3TextConfig,
    GemmaConfig,
    GPT2Config,
    GPTNeoXConfig,
    LlamaConfig,
    MambaConfig,
    MistralConfig,
    MixtralConfig,
    ModernBertConfig,
    MPNetConfig,
    OPTConfig,
    Phi3Config,
    PhiConfig,
    PreTrainedConfig,
    PreTrainedModel,
    Qwen2Config,
    Qwen2MoeConfig,
    Qwen3Config,
    Qwen3MoeConfig,
    ResNetConfig,
    RobertaConfig,
    SiglipConfig,
    SwinConfig,
    T5Config,
    ViTConfig,
)

from spaces.model.inventory import Inventory
from spaces.spec.sections import Task
from trainables.base_model.config import task_class
from trainables.base_model.inventory import inventory_of, meta_model
from trainables.base_model.weights import copy_of

VOCABULARY, LABELS, ROWS, TOKENS = 40, 3, 3, 7
_TEXT = {"vocab_size": VOCABULARY, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 1, "num_labels": LABELS}
_BERT = {
    "hidden_size": 16,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "intermediate_size": 24,
    "max_position_embeddings": 20,
}
_LLAMA = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 6,
    "intermediate_size": 24,
    "max_position_embeddings": 20,
}
_CONFIGS: dict[str, tuple[type[PreTrainedConfig], dict[str, Any]]] = {
    "bert": (BertConfig, _BERT | _TEXT),
    "roberta": (RobertaConfig, _BERT | _TEXT),
    "distilbert": (
        DistilBertConfig,
        {"dim": 16, "n_layers": 3, "n_heads": 2, "hidden_dim": 24, "max_position_embeddings": 20} | _TEXT,
    ),
    "vit": (
        ViTConfig,
        {
            "hidden_size": 16,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "intermediate_size": 24,
            "image_size": 8,
            "patch_size": 4,
            "num_labels": LABELS,
        },
    ),
    "gpt2": (GPT2Config, {"n_embd": 16, "n_layer": 2, "n_head": 2, "n_positions": 20} | _TEXT),
    "llama": (LlamaConfig, _LLAMA | _TEXT),
    "mistral": (MistralConfig, _LLAMA | _TEXT),
    "gemma": (GemmaConfig, _LLAMA | _TEXT),
    "gemma2": (Gemma2Config, _LLAMA | _TEXT),
    "gemma3": (Gemma3TextConfig, _LLAMA | _TEXT),
    "qwen2": (Qwen2Config, _LLAMA | _TEXT),
    "qwen3": (Qwen3Config, _LLAMA | _TEXT),
    "t5": (
        T5Config,
        {
            "d_model": 16,
            "num_layers": 2,
            "num_heads": 2,
            "d_kv": 6,
            "d_ff": 24,
            "feed_forward_proj": "gated-gelu",
            "decoder_start_token_id": 0,
        }
        | _TEXT,
    ),
}
FAMILIES = tuple(_CONFIGS)
_CONFIGS["bart"] = (
    BartConfig,
    {
        "d_model": 16,
        "encoder_layers": 2,
        "decoder_layers": 2,
        "encoder_attention_heads": 2,
        "decoder_attention_heads": 2,
        "encoder_ffn_dim": 24,
        "decoder_ffn_dim": 24,
        "max_position_embeddings": 20,
        "decoder_start_token_id": 1,
    }
    | _TEXT,
)
_PATCHES = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 24,
    "image_size": 8,
    "patch_size": 4,
}
_EXPERTS = {"num_experts_per_tok": 2, "moe_intermediate_size": 8}
_ENCODERS: dict[str, tuple[type[PreTrainedConfig], dict[str, Any]]] = {
    "modernbert": (ModernBertConfig, _BERT | _TEXT | {"cls_token_id": 1, "sep_token_id": 1}),
    "deberta": (DebertaConfig, _BERT | _TEXT | {"relative_attention": True, "pos_att_type": ["p2c", "c2p"]}),
    "deberta-v2": (
        DebertaV2Config,
        _BERT
        | _TEXT
        | {
            "relative_attention": True,
            "position_buckets": 4,
            "pos_att_type": ["p2c", "c2p"],
            "share_att_key": True,
            "norm_rel_ebd": "layer_norm",
        },
    ),
    "mpnet": (MPNetConfig, _BERT | _TEXT),
    "albert": (AlbertConfig, _BERT | _TEXT | {"embedding_size": 8}),
    "electra": (ElectraConfig, _BERT | _TEXT | {"embedding_size": 8}),
}
_DECODERS: dict[str, tuple[type[PreTrainedConfig], dict[str, Any]]] = {
    "phi": (PhiConfig, _BERT | _TEXT),
    "phi3": (Phi3Config, _BERT | _TEXT),
    "gpt_neox": (GPTNeoXConfig, _BERT | _TEXT),
    "opt": (OPTConfig, _BERT | _TEXT | {"ffn_dim": 24, "word_embed_proj_dim": 16}),
    "bloom": (BloomConfig, {"hidden_size": 16, "n_layer": 3, "n_head": 2} | _TEXT),
    "falcon": (FalconConfig, _BERT | _TEXT),
    "qwen2_moe": (
        Qwen2MoeConfig,
        _LLAMA | _TEXT | _EXPERTS | {"num_experts": 4, "shared_expert_intermediate_size": 8},
    ),
    "qwen3_moe": (Qwen3MoeConfig, _LLAMA | _TEXT | _EXPERTS | {"num_experts": 4}),
    "mixtral": (MixtralConfig, _LLAMA | _TEXT | {"num_local_experts": 4}),
    "mamba": (MambaConfig, {"hidden_size": 16, "num_hidden_layers": 2, "state_size": 4} | _TEXT),
}
_VISION: dict[str, tuple[type[PreTrainedConfig], dict[str, Any]]] = {
    "dinov2": (Dinov2Config, _PATCHES | {"mlp_ratio": 2, "num_labels": LABELS}),
    "swin": (
        SwinConfig,
        {
            "image_size": 8,
            "patch_size": 2,
            "embed_dim": 8,
            "depths": [1, 1],
            "num_heads": [1, 2],
            "window_size": 2,
            "num_labels": LABELS,
        },
    ),
    "siglip": (SiglipConfig, {"vision_config": _PATCHES, "num_labels": LABELS}),
    "clip": (CLIPConfig, {"vision_config": _PATCHES, "num_labels": LABELS}),
    "convnext": (
        ConvNextConfig,
        {"hidden_sizes": [8, 16], "depths": [1, 1], "num_stages": 2, "image_size": 8, "num_labels": LABELS},
    ),
    "resnet": (ResNetConfig, {"embedding_size": 8, "hidden_sizes": [8], "depths": [1], "num_labels": LABELS}),
}
_CONFIGS |= _ENCODERS | _DECODERS | _VISION
TASKS = {
    family: {
        "vit": (Task.IMAGE_CLASSIFICATION,),
        "distilbert": (Task.SEQUENCE_CLASSIFICATION,),
        "t5": (Task.SEQUENCE_CLASSIFICATION,),
    }.get(family, (Task.SEQUENCE_CLASSIFICATION, Task.CAUSAL_LM))
    for family in FAMILIES
}


@dataclass(frozen=True)
class Tiny:
    """A family with a task."""

    family: str
    task: Task
    dtype: torch.dtype = torch.float32

    def __str__(self) -> str:
        return f"{self.family}-{self.task}"

    @property
    def config(self) -> PreTrainedConfig:
        kind, settings = _CONFIGS[self.family]
        return kind(**settings)

    @property
    def inventory(self) -> Inventory:
        return _inventory(self.family, self.task)

    def model(self) -> PreTrainedModel:
        """A model of its own around the shared tensors."""
        return copy_of(_shared(self))

    def inputs(self, device: torch.device | str = "cpu") -> dict[str, Tensor]:
        return {name: tensor.to(device) for name, tensor in self._inputs().items()}

    def _inputs(self) -> dict[str, Tensor]:
        generator = torch.Generator().manual_seed(0)
        if self.task is Task.IMAGE_CLASSIFICATION:
            return {"pixel_values": torch.randn(ROWS, 3, 8, 8, generator=generator).to(self.dtype)}
        tokens = torch.randint(2, VOCABULARY, (ROWS, TOKENS), generator=generator)
        tokens[:, -1] = 1
        inputs = {"input_ids": tokens, "attention_mask": torch.ones_like(tokens)}
        return {**inputs, "decoder_input_ids": tokens.flip(1)} if self.task is Task.SEQ2SEQ_LM else inputs

    def logits(self, model: nn.Module) -> Tensor:
        """What a model in evaluation mode says of the inputs."""
        was = model.training
        model.eval()
        with torch.no_grad():
            logits: Tensor = model(**self.inputs(next(model.parameters()).device)).logits
        model.train(was)
        return logits

    def fingerprint(self) -> str:
        """Changes when anything in the shared memory does."""
        digest = hashlib.sha256()
        for name, tensor in _shared(self).state_dict().items():
            digest.update(name.encode() + tensor.contiguous().view(torch.uint8).numpy().tobytes())
        return digest.hexdigest()


MORE = (
    *(Tiny(family, Task.SEQUENCE_CLASSIFICATION) for family in _ENCODERS),
    *(Tiny(family, Task.CAUSAL_LM) for family in _DECODERS),
    *(Tiny(family, Task.IMAGE_CLASSIFICATION) for family in _VISION),
)
"""Further families, each with one task, which `test_families.py` tries."""
ALL = tuple(Tiny(family, task) for family in FAMILIES for task in TASKS[family])
BERT = Tiny("bert", Task.SEQUENCE_CLASSIFICATION)
GPT2 = Tiny("gpt2", Task.SEQUENCE_CLASSIFICATION)
CAUSAL_GPT2 = Tiny("gpt2", Task.CAUSAL_LM)
ROBERTA = Tiny("roberta", Task.SEQUENCE_CLASSIFICATION)
LLAMA = Tiny("llama", Task.CAUSAL_LM)
VIT = Tiny("vit", Task.IMAGE_CLASSIFICATION)
T5 = Tiny("t5", Task.SEQUENCE_CLASSIFICATION)
WRITING_T5 = Tiny("t5", Task.SEQ2SEQ_LM)
WRITING_BART = Tiny("bart", Task.SEQ2SEQ_LM)
TAGGING_BERT = Tiny("bert", Task.TOKEN_CLASSIFICATION)


@cache
def _inventory(family: str, task: Task) -> Inventory:
    return inventory_of(meta_model(Tiny(family, task).config, task))


@cache
def _shared(tiny: Tiny) -> PreTrainedModel:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = task_class(tiny.task).from_config(tiny.config).to(tiny.dtype).eval()
    for parameter in model.parameters():
        parameter.data = _read_only(parameter.detach())
    return model.requires_grad_(False)


def _read_only(tensor: Tensor) -> Tensor:
    array = np.frombuffer(tensor.contiguous().view(torch.uint8).numpy().tobytes(), dtype=np.uint8)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of memory that is not writable: that is the point
        return torch.from_numpy(array).view(tensor.dtype).view(tensor.shape)
