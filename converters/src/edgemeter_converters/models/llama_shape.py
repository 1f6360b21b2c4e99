"""The shape of a language model of the Llama family: what its configuration says, and its tensors. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NoReturn

from edgemeter_converters.exceptions import ConversionError
from edgemeter_protos.token_windows import WINDOW_TOKENS
from edgemeter_protos.v1 import refusal_pb2

ARCHITECTURES = ("LlamaForCausalLM",)
"""As Hugging Face's configurations name them: what can be written as a GGUF's `llama`."""

_ROPE_TYPES = ("default", "linear", "llama3")


@dataclass(frozen=True, kw_only=True)
class LlamaShape:
    """A decoder of equal layers: RMS norms, rotary positions, grouped attention, gated SiLU.

    Attributes:
        vocabulary: tokens that it knows.
        hidden: width of what goes from layer to layer.
        intermediate: width inside a layer's feed-forward part.
        key_heads: of keys and values; `heads` are of queries, a multiple of it.
        head_size: width of one head.
        context: tokens that it was trained to look back on.
        tied: whether the matrix that reads tokens also writes them.
        rope: `rope_type` ("default", "linear" or "llama3") and that type's own numbers, as in Hugging Face's
            `rope_parameters`, without its base.
        begin_token, end_token: ids that texts begin and end with; None where the file names none.
    """

    vocabulary: int
    hidden: int
    intermediate: int
    layers: int
    heads: int
    key_heads: int
    head_size: int
    context: int
    tied: bool
    norm_epsilon: float
    rope_base: float
    rope: Mapping[str, Any] = field(default_factory=lambda: {"rope_type": "default"})
    begin_token: int | None = None
    end_token: int | None = None

    def tensors(self) -> dict[str, tuple[int, ...]]:
        """Shape of every weight, by its name in torch; a tied output matrix is not one."""
        queries, keys = self.heads * self.head_size, self.key_heads * self.head_size
        shapes: dict[str, tuple[int, ...]] = {"model.embed_tokens.weight": (self.vocabulary, self.hidden)}
        for at in range(self.layers):
            layer = {
                "input_layernorm": (self.hidden,),
                "self_attn.q_proj": (queries, self.hidden),
                "self_attn.k_proj": (keys, self.hidden),
                "self_attn.v_proj": (keys, self.hidden),
                "self_attn.o_proj": (self.hidden, queries),
                "post_attention_layernorm": (self.hidden,),
                "mlp.gate_proj": (self.intermediate, self.hidden),
                "mlp.up_proj": (self.intermediate, self.hidden),
                "mlp.down_proj": (self.hidden, self.intermediate),
            }
            shapes |= {f"model.layers.{at}.{name}.weight": shape for name, shape in layer.items()}
        shapes["model.norm.weight"] = (self.hidden,)
        if not self.tied:
            shapes["lm_head.weight"] = (self.vocabulary, self.hidden)
        return shapes

    @property
    def parameters(self) -> int:
        return sum(math.prod(shape) for shape in self.tensors().values())

    @property
    def macs_per_token(self) -> int:
        """Multiply-accumulates in matrices, without attention's own products, which grow with the text."""
        matrices = sum(math.prod(shape) for shape in self.tensors().values() if len(shape) == 2)
        # Reading a token is a look-up, writing one a product.
        return matrices if self.tied else matrices - self.vocabulary * self.hidden

    def config(self) -> dict[str, Any]:
        """Hugging Face's config.json of it, without what says how to generate."""
        return {
            "architectures": list(ARCHITECTURES),
            "model_type": "llama",
            "vocab_size": self.vocabulary,
            "hidden_size": self.hidden,
            "intermediate_size": self.intermediate,
            "num_hidden_layers": self.layers,
            "num_attention_heads": self.heads,
            "num_key_value_heads": self.key_heads,
            "head_dim": self.head_size,
            "max_position_embeddings": self.context,
            "tie_word_embeddings": self.tied,
            "rms_norm_eps": self.norm_epsilon,
            "rope_parameters": {**self.rope, "rope_theta": self.rope_base},
            "hidden_act": "silu",
            "attention_bias": False,
            "mlp_bias": False,
            "bos_token_id": self.begin_token,
            "eos_token_id": self.end_token,
            "dtype": "float32",
        }


def from_config(config: Mapping[str, Any], file_name: str) -> LlamaShape:
    """The shape that Hugging Face's config.json tells.

    Raises:
        ConversionError: NOT_A_MODEL, another architecture, or one of Llama's options that no GGUF can tell.
    """
    architectures = config.get("architectures") or []
    family = str(config.get("model_type") or "unnamed")
    name = str(architectures[0]) if isinstance(architectures, list) and architectures else family
    if name not in (*ARCHITECTURES, "llama"):
        refuse_architecture(file_name, name)
    quantized = config.get("quantization_config")
    if isinstance(quantized, Mapping):
        refuse(
            file_name,
            f"its weights are quantized already ({quantized.get('quant_method', 'unknown method')}): "
            "give the model in float",
        )
    for option, usual in (("attention_bias", False), ("mlp_bias", False), ("hidden_act", "silu")):
        if config.get(option, usual) != usual:
            refuse(file_name, f"its config.json says {option}={config[option]!r}, only {usual!r} is known")
    heads = _count(config, "num_attention_heads", file_name)
    hidden = _count(config, "hidden_size", file_name)
    # Older files keep what scales positions apart from their base.
    rope = dict(config.get("rope_parameters") or config.get("rope_scaling") or {})
    base = rope.pop("rope_theta", None) or config.get("rope_theta") or 10_000.0
    rope["rope_type"] = rope.pop("type", None) or rope.get("rope_type") or "default"
    if rope["rope_type"] not in _ROPE_TYPES:
        refuse(file_name, f"its rope_type is {rope['rope_type']!r}; known are {', '.join(_ROPE_TYPES)}")
    shape = LlamaShape(
        vocabulary=_count(config, "vocab_size", file_name),
        hidden=hidden,
        intermediate=_count(config, "intermediate_size", file_name),
        layers=_count(config, "num_hidden_layers", file_name),
        heads=heads,
        key_heads=_count({"num_key_value_heads": heads, **_told(config)}, "num_key_value_heads", file_name),
        head_size=_count({"head_dim": hidden // heads, **_told(config)}, "head_dim", file_name),
        context=_count({"max_position_embeddings": 2048, **config}, "max_position_embeddings", file_name),
        tied=bool(config.get("tie_word_embeddings", False)),
        norm_epsilon=float(config.get("rms_norm_eps", 1e-6)),
        rope_base=float(base),
        rope=rope,
        begin_token=_token(config.get("bos_token_id")),
        end_token=_token(config.get("eos_token_id")),
    )
    check(shape, file_name)
    return shape


def check(shape: LlamaShape, file_name: str) -> None:
    """Nothing, where the numbers go together.

    Raises:
        ConversionError: NOT_A_MODEL.
    """
    if shape.heads % shape.key_heads:
        refuse(file_name, f"{shape.heads} heads can't share {shape.key_heads} heads of keys and values")
    if shape.head_size % 2:
        refuse(file_name, f"heads of {shape.head_size} numbers can't be rotated in pairs")
    if shape.context < WINDOW_TOKENS:
        refuse(
            file_name,
            f"it looks back on {shape.context} tokens at most; models are measured over {WINDOW_TOKENS}",
        )


def refuse_architecture(file_name: str, name: str) -> NoReturn:
    refuse(
        file_name,
        f"it is of architecture {name!r}; language models are read of {', '.join(ARCHITECTURES)} "
        "(Llama, SmolLM, SmolLM2, TinyLlama, …)",
    )


def refuse(file_name: str, what: str) -> NoReturn:
    raise ConversionError(f"{file_name}: {what}", reason=refusal_pb2.REFUSAL_REASON_NOT_A_MODEL)


def _count(config: Mapping[str, Any], name: str, file_name: str) -> int:
    value = config.get(name)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 < value < 1 << 31:
        refuse(file_name, f"its config.json says {name}={value!r}, which is no count")
    return value


def _token(told: Any) -> int | None:
    """The first, where there are several."""
    found = told[0] if isinstance(told, list) and told else told
    return found if isinstance(found, int) else None


def _told(config: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in config.items() if value is not None}
