"""A Llama's tensors as a GGUF names and orders them. Pure.

llama.cpp rotates neighbouring numbers of a head together, torch's Llama those half a head apart: so rows of
the matrices that make queries and keys stand in another order.
"""

from __future__ import annotations

import re
from typing import Any

from numpy.typing import NDArray

from edgemeter_converters.models.llama_shape import LlamaShape

_PARTS = {
    "input_layernorm": "attn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "post_attention_layernorm": "ffn_norm",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}

_TOPS = {
    "model.embed_tokens.weight": "token_embd.weight",
    "model.norm.weight": "output_norm.weight",
    "lm_head.weight": "output.weight",
}

_IN_LAYER = re.compile(r"model\.layers\.(\d+)\.(.+)\.weight")


def gguf_name(name: str) -> str:
    """Of a tensor by its name in torch."""
    found = _IN_LAYER.fullmatch(name)
    return _TOPS[name] if found is None else f"blk.{found[1]}.{_PARTS[found[2]]}.weight"


def rotated_heads(name: str, shape: LlamaShape) -> int:
    """How many heads a tensor's rows make that are rotated by position; 0 where they make none."""
    if name.endswith("self_attn.q_proj.weight"):
        return shape.heads
    return shape.key_heads if name.endswith("self_attn.k_proj.weight") else 0


def to_neighbours(tensor: NDArray[Any], heads: int) -> NDArray[Any]:
    """Rows as a GGUF has them, of (rows, columns) as torch has them."""
    half = tensor.shape[0] // heads // 2
    return tensor.reshape(heads, 2, half, tensor.shape[1]).swapaxes(1, 2).reshape(tensor.shape)


def to_halves(tensor: NDArray[Any], heads: int) -> NDArray[Any]:
    """Undoes `to_neighbours`."""
    half = tensor.shape[0] // heads // 2
    return tensor.reshape(heads, half, 2, tensor.shape[1]).swapaxes(1, 2).reshape(tensor.shape)
