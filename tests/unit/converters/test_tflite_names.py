from __future__ import annotations

import pytest

from edgemeter_converters.models import tflite_names

FLATTENED = "edgemeter_converters.models.torch_module.flattened.<locals>.Flattened"


@pytest.mark.parametrize(
    ("tensor", "layers"),
    [
        pytest.param("net_1/act_1/Relu;net_1/stem_1/convolution", ("act", "stem"), id="fused by TensorFlow"),
        pytest.param("net_1/conv2d_1_1/Relu", ("conv2d_1",), id="a name that ends with a number"),
        pytest.param("net_1/shared_3/MatMul", ("shared",), id="a shared layer's second call"),
        pytest.param("net_1/block_1/inner_1/convolution", ("block/inner",), id="nested models"),
        pytest.param("net_1/sep_1/separable_conv2d/depthwise1", ("sep",), id="an op's own scope"),
        pytest.param("net_1/lstm_1/lstm_cell_1/split1", ("lstm",), id="a recurrent layer's cell"),
        pytest.param("model/conv/Conv2D", ("model/conv",), id="scopes that Keras 3 did not make"),
        pytest.param("pack.Net/torch.nn.modules.conv.Conv2d_stem;2", ("stem",), id="a torch module"),
        pytest.param(
            "pack.Net;;pack.Net/torch.nn.modules.container.Sequential_body/torch.nn.modules.conv.Conv2d_0;",
            ("body.0",),
            id="torch modules in each other, fused with a function",
        ),
        pytest.param(f"{FLATTENED}/pack.Two_network/pack._Head_wide;1", ("wide",), id="our own wrapper"),
        pytest.param(f"{FLATTENED}/pack.Two_network;1", (), id="a function of the network's own"),
        pytest.param("StatefulPartitionedCall_1:0", (), id="an output"),
        pytest.param("arith.constant1", (), id="a constant"),
        pytest.param("", (), id="nothing"),
    ],
)
def test_layers_of(tensor: str, layers: tuple[str, ...]) -> None:
    assert tflite_names.layers_of(tensor) == layers


@pytest.mark.parametrize(
    ("pattern", "layer", "expected"),
    [
        ("conv", "conv", True),
        ("conv*", "conv_7", True),
        ("conv", "conv_7", False),
        ("inner", "block/inner", True),
        ("block", "block/inner", True),
        ("block/*", "block/inner", True),
        ("body", "body.0.conv", True),
        ("body.0", "body.0.conv", True),
        ("body.0", "body.01", False),
        ("od", "body", False),
    ],
)
def test_matches(pattern: str, layer: str, expected: bool) -> None:
    assert tflite_names.matches(pattern, layer) is expected


def test_unmatched() -> None:
    assert tflite_names.unmatched(["a*", "b", "c"], ["ab", "c"]) == ["b"]
