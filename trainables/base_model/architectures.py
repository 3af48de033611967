"""The kinds of linear layers in known architectures, by the names that transformers gives them."""

from __future__ import annotations

from transformers import PreTrainedConfig

from spaces.errors import RequestError
from spaces.model.inventory import Kind

# The end of a linear layer's path inside its block; the longest that matches decides.
_KINDS: dict[str, Kind] = {
    # BERT, RoBERTa
    "self.query": "query",
    "self.key": "key",
    "self.value": "value",
    "attention.output.dense": "output",
    "crossattention.output.dense": "output",
    "intermediate.dense": "up",
    "output.dense": "down",
    # DistilBERT
    "attention.q_lin": "query",
    "attention.k_lin": "key",
    "attention.v_lin": "value",
    "attention.out_lin": "output",
    "ffn.lin1": "up",
    "ffn.lin2": "down",
    # Llama, Mistral, Gemma, Qwen; ViT
    "q_proj": "query",
    "k_proj": "key",
    "v_proj": "value",
    "o_proj": "output",
    "mlp.gate_proj": "gate",
    "mlp.up_proj": "up",
    "mlp.down_proj": "down",
    "mlp.fc1": "up",
    "mlp.fc2": "down",
    # BART, Marian, mBART
    "self_attn.out_proj": "output",
    "encoder_attn.out_proj": "output",
    "fc1": "up",
    "fc2": "down",
    # GPT-2
    "attn.c_attn": "query_key_value",
    "attn.c_proj": "output",
    "mlp.c_fc": "up",
    "mlp.c_proj": "down",
    # T5
    "SelfAttention.q": "query",
    "SelfAttention.k": "key",
    "SelfAttention.v": "value",
    "SelfAttention.o": "output",
    "EncDecAttention.q": "query",
    "EncDecAttention.k": "key",
    "EncDecAttention.v": "value",
    "EncDecAttention.o": "output",
    "DenseReluDense.wi": "up",
    "DenseReluDense.wi_0": "gate",
    "DenseReluDense.wi_1": "up",
    "DenseReluDense.wo": "down",
}


def kind_of(path: str, name: str, config: PreTrainedConfig) -> Kind:
    """Return the kind of the linear layer at `path` inside its block.

    Args:
        path: the layer's name within its block.
        name: its full name, for the message.
        config: the model's config, for the message.

    Raises:
        RequestError: when the table does not have it.
    """
    parts = path.split(".")
    for start in range(len(parts)):
        if (kind := _KINDS.get(".".join(parts[start:]))) is not None:
            return kind
    raise RequestError(
        f"model.path = {config.name_or_path}: {config.model_type} has a linear layer of unknown kind, {name}; allowed: "
        "architectures whose layers are named as in bert, roberta, distilbert, vit, gpt2, llama, mistral, gemma, qwen, "
        "t5, bart or marian"
    )
