from __future__ import annotations

import math
from typing import Any

import pytest

from edgemeter_converters.exceptions import ConversionError
from edgemeter_converters.models import llama_shape
from edgemeter_protos.v1 import refusal_pb2

CONFIG: dict[str, Any] = {
    "architectures": ["LlamaForCausalLM"],
    "vocab_size": 1000,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 512,
    "tie_word_embeddings": True,
}


def test_tensors_are_those_of_torchs_llama() -> None:
    shapes = llama_shape.from_config(CONFIG, "m").tensors()
    assert len(shapes) == 2 * 9 + 2
    assert shapes["model.layers.1.self_attn.k_proj.weight"] == (32, 64)
    assert shapes["model.layers.0.mlp.down_proj.weight"] == (64, 96)
    assert "lm_head.weight" not in shapes


def test_parameters_and_products_of_smollm2() -> None:
    # The model's card: 134.5 million; a token takes each matrix once, its embeddings to write the next.
    smollm2 = CONFIG | {
        "vocab_size": 49152,
        "hidden_size": 576,
        "intermediate_size": 1536,
        "num_hidden_layers": 30,
        "num_attention_heads": 9,
        "num_key_value_heads": 3,
    }
    shape = llama_shape.from_config(smollm2, "m")
    assert shape.parameters == 134_515_008
    assert shape.macs_per_token == 134_515_008 - 61 * 576


def test_an_output_matrix_of_its_own_is_counted_once_a_token() -> None:
    tied = llama_shape.from_config(CONFIG, "m")
    untied = llama_shape.from_config(CONFIG | {"tie_word_embeddings": False}, "m")
    assert untied.parameters - tied.parameters == math.prod((1000, 64))
    assert untied.macs_per_token == tied.macs_per_token


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({}, id="as it is"),
        pytest.param({"tie_word_embeddings": False, "head_dim": 8}, id="untied, narrow heads"),
        pytest.param({"rope_theta": 5e5}, id="base beside"),
        pytest.param({"rope_scaling": {"type": "linear", "factor": 2.0}}, id="an older file's stretching"),
        pytest.param({"num_key_value_heads": None, "head_dim": None}, id="usual numbers told as none"),
        pytest.param({"bos_token_id": 1, "eos_token_id": [2, 7]}, id="several ends"),
    ],
)
def test_config_says_the_same_again(change: dict[str, Any]) -> None:
    shape = llama_shape.from_config(CONFIG | change, "m")
    assert llama_shape.from_config(shape.config(), "m") == shape


@pytest.mark.parametrize(
    ("change", "said"),
    [
        pytest.param(
            {"architectures": ["Qwen2ForCausalLM"]},
            "m.zip: it is of architecture 'Qwen2ForCausalLM'; language models are read of LlamaForCausalLM",
            id="another architecture",
        ),
        pytest.param(
            {"architectures": None, "model_type": "gpt2"}, "of architecture 'gpt2'", id="no architectures"
        ),
        pytest.param(
            {"quantization_config": {"quant_method": "gptq"}}, "quantized already .gptq.", id="quantized"
        ),
        pytest.param({"attention_bias": True}, "attention_bias=True, only False is known", id="biases"),
        pytest.param({"hidden_act": "gelu"}, "hidden_act='gelu'", id="another activation"),
        pytest.param({"rope_scaling": {"rope_type": "yarn"}}, "rope_type is 'yarn'; known are", id="yarn"),
        pytest.param({"num_key_value_heads": 3}, "4 heads can't share 3 heads", id="heads"),
        pytest.param({"head_dim": 15}, "heads of 15 numbers", id="odd heads"),
        pytest.param({"max_position_embeddings": 128}, "looks back on 128 tokens at most", id="short"),
        pytest.param({"vocab_size": "many"}, "vocab_size='many', which is no count", id="no number"),
        pytest.param({"hidden_size": -64}, "hidden_size=-64", id="negative"),
        pytest.param({"num_hidden_layers": 1 << 40}, "num_hidden_layers", id="absurd"),
    ],
)
def test_what_is_no_plain_llama_is_refused(change: dict[str, Any], said: str) -> None:
    with pytest.raises(ConversionError, match=said) as refused:
        llama_shape.from_config(CONFIG | change, "m.zip")
    assert refused.value.reason == refusal_pb2.REFUSAL_REASON_NOT_A_MODEL
    assert "\n" not in refused.value.message
