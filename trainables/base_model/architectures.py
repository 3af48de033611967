"""The kinds of linear layers in known architectures, by the names that transformers gives them."""

from __future__ import annotations

from spaces.model.inventory import Kind

# The end of a linear layer's path inside its block; the longest that matches decides.
_KINDS: dict[str, Kind] = {
    # BERT, RoBERTa, ELECTRA; beside the following also DeBERTa and MPNet
    "self.query": "query",
    "self.key": "key",
    "self.value": "value",
    "attention.output.dense": "output",
    "crossattention.output.dense": "output",
    "intermediate.dense": "up",
    "output.dense": "down",
    # DeBERTa-v2, DeBERTa-v3; DeBERTa
    "self.query_proj": "query",
    "self.key_proj": "key",
    "self.value_proj": "value",
    "attention.self.in_proj": "query_key_value",
    # MPNet
    "attention.attn.q": "query",
    "attention.attn.k": "key",
    "attention.attn.v": "value",
    "attention.attn.o": "output",
    # ALBERT
    "attention.query": "query",
    "attention.key": "key",
    "attention.value": "value",
    "attention.dense": "output",
    "ffn": "up",
    "ffn_output": "down",
    # ModernBERT
    "attn.Wqkv": "query_key_value",
    "attn.Wo": "output",
    "mlp.Wi": "gate_up",
    "mlp.Wo": "down",
    # DistilBERT
    "attention.q_lin": "query",
    "attention.k_lin": "key",
    "attention.v_lin": "value",
    "attention.out_lin": "output",
    "ffn.lin1": "up",
    "ffn.lin2": "down",
    # Llama, Mistral, Mixtral, Gemma, Qwen, Phi; ViT, DINOv2, Swin, SigLIP, CLIP
    "q_proj": "query",
    "k_proj": "key",
    "v_proj": "value",
    "o_proj": "output",
    "mlp.gate_proj": "gate",
    "mlp.up_proj": "up",
    "mlp.down_proj": "down",
    "mlp.fc1": "up",
    "mlp.fc2": "down",
    "mlp.shared_expert.gate_proj": "gate",
    "mlp.shared_expert.up_proj": "up",
    "mlp.shared_expert.down_proj": "down",
    "self_attn.dense": "output",
    # Phi-3, Phi-4
    "self_attn.qkv_proj": "query_key_value",
    "mlp.gate_up_proj": "gate_up",
    # GPT-NeoX, BLOOM, Falcon
    "query_key_value": "query_key_value",
    "self_attention.dense": "output",
    "mlp.dense_h_to_4h": "up",
    "mlp.dense_4h_to_h": "down",
    # ConvNeXt
    "pwconv1": "up",
    "pwconv2": "down",
    # BART, Marian, mBART, OPT
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


def kind_of(path: str) -> Kind:
    """Return the kind of the linear layer at `path` inside its block; `unknown` if the table does not have it.

    Example:
        >>> kind_of("attention.output.dense"), kind_of("mixer.in_proj")
        ('output', 'unknown')
    """
    parts = path.split(".")
    known = (_KINDS.get(".".join(parts[start:])) for start in range(len(parts)))
    return next((kind for kind in known if kind is not None), "unknown")
