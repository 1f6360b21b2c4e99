"""A quantized language model in torch, loaded."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from edgemeter_converters.models import llama_shape
from edgemeter_converters.steps import Precision
from edgemeter_protos import token_windows

if TYPE_CHECKING:
    from edgemeter_converters.compress.llama.gptq import Quantized

HEADER_KEY = "edgemeter"
"""Of the header's strings: JSON of `config` (Hugging Face's), `precision` and torchao's own `torchao`."""

_LEVELS, _SCALES, _ZEROS = "levels", "scales", "zeros"

_INT4 = frozenset({Precision.WEIGHT_ONLY_INT4.value, Precision.GPTQ.value})


class TorchLLMArtifact:
    """What `formats.torch_llm` wrote."""

    notes = (
        "For comparison on the coordinator only: it is scored there, and no board runs it.",
        "The tokens' matrix is in float16; every dense layer is quantized.",
    )

    def __init__(self, content: bytes) -> None:
        from safetensors.torch import load

        header = _header(content)
        self._shape = llama_shape.from_config(header["config"], "the artifact")
        tensors = load(content)
        weights = (
            _of_int4(tensors) if header["precision"] in _INT4 else _of_torchao(tensors, header["torchao"])
        )
        self._module = _module(self._shape, weights)
        self.signature = token_windows.signature()
        self.parameters = self._shape.parameters
        self.non_zero_parameters = sum(_non_zero(each) for each in weights.values())

    def run(self, inputs: Sequence[NDArray[Any]]) -> tuple[NDArray[Any], ...]:
        import torch

        rows = []
        with torch.inference_mode():
            for window in inputs[0]:
                ids = torch.from_numpy(np.array(window, dtype=np.int64))[None]
                logits = self._module(input_ids=ids, use_cache=False).logits[0].numpy()
                rows.append(token_windows.negative_log_likelihood(logits, window[1:]))
        return (np.stack(rows).astype(np.float32),)

    def run_reference(self, inputs: Sequence[NDArray[Any]]) -> tuple[NDArray[Any], ...]:
        """By torch's own kernels, without oneDNN's."""
        from edgemeter_converters.models.torch_module import without_onednn

        with without_onednn():
            return self.run(inputs)

    def run_layers(self, _inputs: Sequence[NDArray[Any]]) -> dict[str, tuple[str, NDArray[Any]]]:
        """None."""
        return {}


def packed_int4(name: str, quantized: Quantized) -> dict[str, Any]:
    """A matrix's tensors as they are kept: levels two to a byte, the first in the low half; zero points too.

    Numbers of columns are even: `llama_shape` knows no others that a group could have.
    """
    return {
        f"{name}.{_LEVELS}": _packed(quantized.levels),
        f"{name}.{_SCALES}": quantized.scales,
        f"{name}.{_ZEROS}": quantized.zeros,
    }


def _packed(levels: Any) -> Any:
    return levels[:, 0::2] | (levels[:, 1::2] << 4)


def _of_int4(tensors: dict[str, Any]) -> dict[str, Any]:
    """The weights by their names in torch, all float32."""
    import torch

    from edgemeter_converters.compress.llama.gptq import Quantized

    weights: dict[str, Any] = {}
    for name, each in tensors.items():
        base, _, part = name.rpartition(".")
        if part == _LEVELS:
            levels = torch.stack((each & 15, each >> 4), dim=2).flatten(1)
            quantized = Quantized(
                levels=levels, scales=tensors[f"{base}.{_SCALES}"], zeros=tensors[f"{base}.{_ZEROS}"]
            )
            weights[base] = quantized.dequantized()
        elif part not in (_SCALES, _ZEROS):
            weights[name] = each.float()
    return weights


def _of_torchao(tensors: dict[str, Any], written: dict[str, str]) -> dict[str, Any]:
    """The weights by their names in torch: torchao's tensors, and float32."""
    from torchao.prototype.safetensors.safetensors_support import unflatten_tensor_state_dict

    plain = {
        name: each.float()
        for name, each in tensors.items()
        if not name.startswith("model.layers.") or each.ndim == 1
    }
    found = {name: each for name, each in tensors.items() if name not in plain}
    quantized, _ = unflatten_tensor_state_dict(found, written)
    return {**plain, **quantized}


def _module(shape: llama_shape.LlamaShape, weights: dict[str, Any]) -> Any:
    import torch
    import transformers

    config = transformers.LlamaConfig.from_dict(shape.config())
    with torch.device("meta"):
        module = transformers.LlamaForCausalLM(config)
    module.load_state_dict(weights, strict=False, assign=True)
    if shape.tied:
        module.tie_weights()
    # Positions' frequencies are computed, not loaded.
    module.model.rotary_emb = type(module.model.rotary_emb)(config)
    return module.requires_grad_(False).eval()


def _non_zero(weight: Any) -> int:
    integers = getattr(weight, "qdata", weight)
    return int(integers.count_nonzero())


def _header(content: bytes) -> dict[str, Any]:
    """What `HEADER_KEY` has in a .safetensors."""
    length = int.from_bytes(content[:8], "little")
    found: dict[str, Any] = json.loads(json.loads(content[8 : 8 + length])["__metadata__"][HEADER_KEY])
    return found
