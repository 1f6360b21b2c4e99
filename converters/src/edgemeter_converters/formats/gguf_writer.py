"""Writing a Llama down as a GGUF of floats: llama.cpp's file, which its quantizer starts from too."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from edgemeter_converters.models import gguf_names, gguf_tokenizer, llama, llama_rope
from edgemeter_converters.models.llama_shape import LlamaShape

ARCHITECTURE = "llama"


def write(folder: Path, path: Path, *, half: bool) -> None:
    """Writes a model's folder into one file; the same bytes for the same model.

    Args:
        folder: as `models.llama` keeps it.
        half: whether matrices are float16; norms are float32 either way, as llama.cpp wants them.

    Raises:
        ConversionError: llama.cpp has no tokenizer like the model's.
    """
    import gguf
    import numpy as np
    from safetensors import safe_open

    shape = llama.shape_of(folder)
    # Before a file of its own length is begun.
    tokenizer = tokenizer_metadata(folder, shape)
    writer = gguf.GGUFWriter(path, ARCHITECTURE)
    _write_shape(writer, shape)
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_F16 if half else gguf.LlamaFileType.ALL_F32)
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
    for key, value in tokenizer.items():
        _add(writer, key, value)
    rope, divisors = llama_rope.to_gguf(shape)
    for key, value in rope.items():
        _add(writer, f"{ARCHITECTURE}.{key}", value)
    if divisors is not None:
        writer.add_tensor("rope_freqs.weight", divisors)
    with safe_open(folder / llama.WEIGHTS, framework="numpy") as weights:
        for name, size in shape.tensors().items():
            values = weights.get_tensor(name)
            heads = gguf_names.rotated_heads(name, shape)
            values = gguf_names.to_neighbours(values, heads) if heads else values
            kind = np.float16 if half and len(size) == 2 else np.float32
            writer.add_tensor(gguf_names.gguf_name(name), np.ascontiguousarray(values, dtype=kind))
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
    writer.close()


def tokenizer_metadata(folder: Path, shape: LlamaShape) -> dict[str, Any]:
    """What the file tells of its tokenizer: what the GGUF told that the model came from, where it did."""
    kept: dict[str, Any] | None = llama.origin_of(folder).get("gguf_tokenizer")
    if kept and len(kept["tokenizer.ggml.tokens"]) == shape.vocabulary:
        return kept
    metadata = gguf_tokenizer.from_json(folder / llama.TOKENIZER, shape.vocabulary)
    for name, token in (("bos", shape.begin_token), ("eos", shape.end_token)):
        if token is not None:
            metadata[f"tokenizer.ggml.{name}_token_id"] = token
    return metadata


def _write_shape(writer: Any, shape: LlamaShape) -> None:
    writer.add_vocab_size(shape.vocabulary)
    writer.add_context_length(shape.context)
    writer.add_embedding_length(shape.hidden)
    writer.add_block_count(shape.layers)
    writer.add_feed_forward_length(shape.intermediate)
    writer.add_head_count(shape.heads)
    writer.add_head_count_kv(shape.key_heads)
    writer.add_key_length(shape.head_size)
    writer.add_value_length(shape.head_size)
    writer.add_rope_dimension_count(shape.head_size)
    writer.add_rope_freq_base(shape.rope_base)
    writer.add_layer_norm_rms_eps(shape.norm_epsilon)


def _add(writer: Any, key: str, value: Any) -> None:
    """By the kind that llama.cpp reads such a value as."""
    if isinstance(value, bool):
        writer.add_bool(key, value)
    elif isinstance(value, int):
        writer.add_uint32(key, value)
    elif isinstance(value, float):
        writer.add_float32(key, value)
    elif isinstance(value, str):
        writer.add_string(key, value)
    else:
        writer.add_array(key, value)
