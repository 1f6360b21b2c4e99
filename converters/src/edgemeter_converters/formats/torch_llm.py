"""Quantized language models in torch: what others' tools would give, for comparison on the coordinator.

int8 is torchao's, with float activations or with such as are rounded while the model runs; int4 is ours, in
groups of 64, rounded to the nearest or by GPTQ. No board runs such a file: torch is no runtime for language
models there, so it is scored here and measured nowhere.

A file is a .safetensors: the tokens' matrix in float16, norms in float32, every dense layer quantized, and in
the header the model's configuration.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from edgemeter_converters.exceptions import ConversionError
from edgemeter_converters.formats.format import Encoding, Options
from edgemeter_converters.formats.torch_llm_artifact import (
    HEADER_KEY,
    TorchLLMArtifact,
    packed_int4,
)
from edgemeter_converters.formats.whole_model import WholeModelFormat
from edgemeter_converters.models import llama
from edgemeter_converters.models.model import LoadedModel
from edgemeter_converters.steps import Precision

_INT4 = frozenset({Precision.WEIGHT_ONLY_INT4, Precision.GPTQ})


class TorchLLM(WholeModelFormat):
    name = "torch-llm"
    suffix = ".safetensors"
    precisions = frozenset({Precision.WEIGHT_ONLY_INT8, Precision.DYNAMIC_INT8, *_INT4})
    frameworks = frozenset({"llama"})
    # For the coordinator only.
    run_by = ()

    def tools(self, framework: str, precision: Precision) -> tuple[tuple[str, ...], ...]:  # noqa: ARG002
        tools = (("torch",), ("transformers",), ("safetensors",))
        return tools if precision in _INT4 else (*tools, ("torchao",))

    def refusal(self, framework: str, precision: Precision, options: Options) -> str:
        if framework not in self.frameworks:
            return f"a {framework} model is no language model, for which {self.name!r} is"
        if precision not in self.precisions:
            return f"{self.name!r} has no {precision.value} weights"
        if options.keep or options.keeps_by_itself:
            return f"{self.name!r} quantizes every dense layer: leave out keep"
        return ""

    def encode(self, model: LoadedModel, encoding: Encoding) -> bytes:
        """The file.

        Raises:
            ConversionError: the calibration windows are another tokenizer's.
        """
        from safetensors.torch import save

        folder = llama.folder_of(model)
        module = llama.load_module(folder)
        torchao: Mapping[str, str] = {}
        if encoding.precision in _INT4:
            tensors = _int4(module, encoding)
        else:
            tensors, torchao = _int8(module, encoding.precision)
        tensors |= _unquantized(module)
        header = {
            "config": llama.shape_of(folder).config(),
            "precision": encoding.precision.value,
            "torchao": torchao,
        }
        # One key: safetensors writes several in any order.
        content: bytes = save(
            {name: each.contiguous() for name, each in tensors.items()},
            {HEADER_KEY: json.dumps(header, sort_keys=True)},
        )
        return content

    def open(self, content: bytes) -> TorchLLMArtifact:
        return TorchLLMArtifact(content)


def _unquantized(module: Any) -> dict[str, Any]:
    """The tokens' matrices in float16, norms as they are."""
    import torch

    state = module.state_dict()
    if module.config.tie_word_embeddings:
        state.pop("lm_head.weight", None)
    return {
        name: each.to(torch.float16) if each.ndim == 2 else each
        for name, each in state.items()
        if each.ndim == 1 or not name.startswith("model.layers.")
    }


def _int8(module: Any, precision: Precision) -> tuple[dict[str, Any], Mapping[str, str]]:
    """The dense layers' tensors and what torchao writes of them."""
    from torchao.prototype.safetensors.safetensors_support import flatten_tensor_state_dict
    from torchao.quantization import (
        Int8DynamicActivationInt8WeightConfig,
        Int8WeightOnlyConfig,
        quantize_,
    )

    configuration = (
        Int8WeightOnlyConfig(set_inductor_config=False)
        if precision is Precision.WEIGHT_ONLY_INT8
        else Int8DynamicActivationInt8WeightConfig(set_inductor_config=False)
    )
    quantize_(module.model.layers, configuration)
    state = {
        f"model.layers.{name}": each
        for name, each in module.model.layers.state_dict().items()
        if name.endswith("proj.weight")
    }
    tensors, metadata = flatten_tensor_state_dict(state)
    return dict(tensors), dict(metadata)


def _int4(module: Any, encoding: Encoding) -> dict[str, Any]:
    """The dense layers' levels, scales and zero points; the module's layers are changed on the way."""
    import torch

    from edgemeter_converters.compress.llama import blocks, gptq

    stream = None
    if encoding.precision is Precision.GPTQ:
        windows = encoding.calibration[0]
        highest, vocabulary = int(windows.max()), int(module.config.vocab_size)
        if highest >= vocabulary:
            raise ConversionError(
                f"gptq: the data holds token {highest}, and the model knows 0 to {vocabulary - 1}"
            )
        stream = blocks.entering(module, windows)
    tensors: dict[str, Any] = {}
    for number, block in enumerate(module.model.layers):
        found: dict[str, Any] = {}
        if stream is not None:
            with blocks.grams(blocks.linears(block)) as found:
                stream.after(block)
        for name, layer in blocks.linears(block).items():
            weight = layer.weight.detach()
            quantized = gptq.gptq(weight, found[name]) if stream else gptq.nearest(weight)
            tensors |= packed_int4(f"model.layers.{number}.{name}.weight", quantized)
            layer.weight = torch.nn.Parameter(quantized.dequantized(), requires_grad=False)
        if stream is not None:
            stream = stream.after(block)
    return tensors
