"""A Llama of two layers with weights drawn at random: in numpy, and as the files that runtimes load."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import numpy.typing as npt
from safetensors.numpy import save_file

Array = npt.NDArray[np.float32]

LAYERS, HIDDEN, INNER = 2, 64, 96
HEADS, KEY_HEADS = 4, 2
HEAD = HIDDEN // HEADS
BASE, EPSILON = 10_000.0, 1e-5
CONTEXT = 512


def characters() -> list[str]:
    """GPT-2's printable characters for the 256 bytes, by byte, and one merged token: " t"."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = iter(range(256, 512))
    return [*(chr(byte if byte in printable else next(others)) for byte in range(256)), "Ġt"]


VOCABULARY = len(characters())
END = 1
"""Of a text: a token like any other to who counts tokens."""


def weights(seed: int = 0) -> dict[str, Array]:
    """By Hugging Face's names; embeddings are tied. Large enough that what it writes is no one token over and
    over."""
    random = np.random.default_rng(seed)

    def drawn(*shape: int) -> Array:
        return (random.normal(0, 1.6 / np.sqrt(shape[-1]), shape)).astype(np.float32)

    made = {"model.embed_tokens.weight": random.normal(0, 1, (VOCABULARY, HIDDEN)).astype(np.float32)}
    for layer in range(LAYERS):
        name = f"model.layers.{layer}"
        made |= {
            f"{name}.self_attn.q_proj.weight": drawn(HEADS * HEAD, HIDDEN),
            f"{name}.self_attn.k_proj.weight": drawn(KEY_HEADS * HEAD, HIDDEN),
            f"{name}.self_attn.v_proj.weight": drawn(KEY_HEADS * HEAD, HIDDEN),
            f"{name}.self_attn.o_proj.weight": drawn(HIDDEN, HEADS * HEAD),
            f"{name}.mlp.gate_proj.weight": drawn(INNER, HIDDEN),
            f"{name}.mlp.up_proj.weight": drawn(INNER, HIDDEN),
            f"{name}.mlp.down_proj.weight": drawn(HIDDEN, INNER),
            f"{name}.input_layernorm.weight": 1 + 0.1 * drawn(HIDDEN),
            f"{name}.post_attention_layernorm.weight": 1 + 0.1 * drawn(HIDDEN),
        }
    # Small, or one token would be certain each time.
    made["model.norm.weight"] = 0.3 + 0.02 * drawn(HIDDEN)
    return made


def logits(held: dict[str, Array], tokens: Sequence[int]) -> npt.NDArray[np.float64]:
    """[tokens, vocabulary]: the forward pass, written down once more in float64 (Touvron et al., "LLaMA: Open
    and Efficient Foundation Language Models", 2023; grouped queries: Ainslie et al., "GQA", 2023)."""
    x = held["model.embed_tokens.weight"][np.asarray(tokens)].astype(np.float64)
    hidden = np.triu(np.full((len(tokens), len(tokens)), -np.inf), 1)
    for layer in range(LAYERS):
        name = f"model.layers.{layer}"
        normed = _norm(x, held[f"{name}.input_layernorm.weight"])
        q, k, v = (_heads(normed @ held[f"{name}.self_attn.{each}_proj.weight"].T) for each in "qkv")
        k, v = (np.repeat(each, HEADS // KEY_HEADS, axis=0) for each in (k, v))
        scores = _turned(q) @ _turned(k).swapaxes(1, 2) / np.sqrt(HEAD) + hidden
        shares = np.exp(scores - scores.max(axis=-1, keepdims=True))
        shares /= shares.sum(axis=-1, keepdims=True)
        mixed = (shares @ v).swapaxes(0, 1).reshape(len(tokens), HEADS * HEAD)
        x = x + mixed @ held[f"{name}.self_attn.o_proj.weight"].T
        normed = _norm(x, held[f"{name}.post_attention_layernorm.weight"])
        gate = normed @ held[f"{name}.mlp.gate_proj.weight"].T
        inner = gate / (1 + np.exp(-gate)) * (normed @ held[f"{name}.mlp.up_proj.weight"].T)
        x = x + inner @ held[f"{name}.mlp.down_proj.weight"].T
    result: npt.NDArray[np.float64] = (
        _norm(x, held["model.norm.weight"]) @ held["model.embed_tokens.weight"].T
    )
    return result


def nll(held: dict[str, Array], window: Sequence[int]) -> npt.NDArray[np.float64]:
    """[tokens - 1], in nats."""
    values = logits(held, window)[:-1]
    values -= values.max(axis=-1, keepdims=True)
    following = values[np.arange(len(window) - 1), np.asarray(window)[1:]]
    likely: npt.NDArray[np.float64] = np.log(np.exp(values).sum(axis=-1)) - following
    return likely


def written(held: dict[str, Array], prompt: Sequence[int], new_tokens: int) -> list[int]:
    """The likeliest token, again and again."""
    tokens = list(prompt)
    for _ in range(new_tokens):
        tokens.append(int(logits(held, tokens)[-1].argmax()))
    return tokens[len(prompt) :]


def write_gguf(held: dict[str, Array], path: Path) -> Path:
    """float32."""
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(HIDDEN)
    writer.add_block_count(LAYERS)
    writer.add_feed_forward_length(INNER)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KEY_HEADS)
    writer.add_rope_dimension_count(HEAD)
    writer.add_rope_freq_base(BASE)
    writer.add_layer_norm_rms_eps(EPSILON)
    writer.add_vocab_size(VOCABULARY)
    writer.add_file_type(gguf.LlamaFileType.ALL_F32)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(characters())
    writer.add_token_types([1] * VOCABULARY)
    writer.add_token_merges(["Ġ t"])
    writer.add_bos_token_id(0)
    writer.add_eos_token_id(END)
    for name, value in held.items():
        heads = {"q": HEADS, "k": KEY_HEADS}.get(name.split(".")[-2].removesuffix("_proj"), 0)
        writer.add_tensor(_gguf_name(name), _neighbours(value, heads) if heads else value)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def write_folder(held: dict[str, Array], folder: Path) -> Path:
    """As Hugging Face's libraries read it."""
    folder.mkdir(parents=True, exist_ok=True)
    save_file(held, folder / "model.safetensors", metadata={"format": "pt"})
    config = {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_size": HIDDEN,
        "intermediate_size": INNER,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": HEADS,
        "num_key_value_heads": KEY_HEADS,
        "head_dim": HEAD,
        "vocab_size": VOCABULARY,
        "max_position_embeddings": CONTEXT,
        "rms_norm_eps": EPSILON,
        "rope_theta": BASE,
        "hidden_act": "silu",
        "tie_word_embeddings": True,
        "bos_token_id": 0,
        "eos_token_id": END,
        "torch_dtype": "float32",
    }
    (folder / "config.json").write_text(json.dumps(config))
    tokenizer: dict[str, Any] = {
        "version": "1.0",
        "added_tokens": [],
        "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True},
        "decoder": {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True},
        "model": {
            "type": "BPE",
            "vocab": {token: number for number, token in enumerate(characters())},
            "merges": ["Ġ t"],
        },
    }
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    (folder / "tokenizer_config.json").write_text('{"tokenizer_class": "PreTrainedTokenizerFast"}')
    return folder


def _norm(x: npt.NDArray[np.float64], weight: Array) -> npt.NDArray[np.float64]:
    normed: npt.NDArray[np.float64] = x / np.sqrt((x * x).mean(axis=-1, keepdims=True) + EPSILON) * weight
    return normed


def _heads(x: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """[heads, tokens, HEAD]."""
    return x.reshape(len(x), -1, HEAD).swapaxes(0, 1)


def _turned(x: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Rotary positions, by halves of a head (Su et al., "RoFormer", 2021)."""
    angles = np.arange(x.shape[1])[:, None] * BASE ** (-np.arange(0, HEAD, 2) / HEAD)
    low, high = x[..., : HEAD // 2], x[..., HEAD // 2 :]
    cosine, sine = np.cos(angles), np.sin(angles)
    return np.concatenate([low * cosine - high * sine, high * cosine + low * sine], axis=-1)


def _neighbours(rows: Array, heads: int) -> Array:
    """llama.cpp turns neighbours where Hugging Face turns halves."""
    return rows.reshape(heads, 2, HEAD // 2, HIDDEN).swapaxes(1, 2).reshape(rows.shape)


def _gguf_name(name: str) -> str:
    parts = name.split(".")
    if parts[1] != "layers":
        return {"embed_tokens": "token_embd.weight", "norm": "output_norm.weight"}[parts[1]]
    part = {
        "q_proj": "attn_q",
        "k_proj": "attn_k",
        "v_proj": "attn_v",
        "o_proj": "attn_output",
        "gate_proj": "ffn_gate",
        "up_proj": "ffn_up",
        "down_proj": "ffn_down",
        "input_layernorm": "attn_norm",
        "post_attention_layernorm": "ffn_norm",
    }[parts[-2]]
    return f"blk.{parts[2]}.{part}.weight"
