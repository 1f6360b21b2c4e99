from __future__ import annotations

import pytest

from edgemeter_converters.datasets import check_fits
from edgemeter_converters.exceptions import ConversionError
from edgemeter_protos.v1 import refusal_pb2, variant_pb2


def spec(shape: tuple[int, ...], dtype: str = "float32", name: str = "x") -> variant_pb2.TensorSpec:
    return variant_pb2.TensorSpec(name=name, dtype=dtype, shape=shape)


def model(*shapes: tuple[int, ...], dtype: str = "float32", classes: int = 10) -> variant_pb2.Signature:
    inputs = [spec((-1, *shape), dtype, name=f"in{at}") for at, shape in enumerate(shapes)]
    return variant_pb2.Signature(inputs=inputs, outputs=[spec((-1, classes))])


@pytest.mark.parametrize(
    ("signature", "data"),
    [
        pytest.param(model((28, 28, 1)), spec((28, 28, 1)), id="the same"),
        pytest.param(model((-1, -1, 3)), spec((32, 40, 3)), id="free dimensions"),
        pytest.param(model((28, 28, 1)), spec((28, 28, 1), "uint8"), id="pixels into a float input"),
        pytest.param(model((28, 28, 1)), spec((28, 28, 1), "float64"), id="a longer float"),
        pytest.param(model((16,), dtype="int32"), spec((16,), "int64"), id="a longer integer"),
    ],
)
def test_fits(signature: variant_pb2.Signature, data: variant_pb2.TensorSpec) -> None:
    check_fits(signature, [data], classes=10)


@pytest.mark.parametrize(
    ("signature", "data", "message"),
    [
        pytest.param(
            model((28, 28, 1)),
            [spec((28, 28))],
            "the data has shape (28, 28) a sample, the model takes (28, 28, 1): "
            "add the last dimension with x[..., None]",
            id="no channel",
        ),
        pytest.param(
            model((784,)),
            [spec((784, 1))],
            "the data has shape (784, 1) a sample, the model takes (784,): "
            "drop the last dimension with x[..., 0]",
            id="a channel too many",
        ),
        pytest.param(
            model((32, 32, 3)),
            [spec((3, 32, 32))],
            "the data has shape (3, 32, 32) a sample, the model takes (32, 32, 3): "
            "the dimensions seem to be in another order",
            id="channels first",
        ),
        pytest.param(
            model((784,)),
            [spec((28, 28))],
            "the data has shape (28, 28) a sample, the model takes (784,): "
            "as many numbers, so x.reshape(-1, 784) may be what is meant",
            id="not flattened",
        ),
        pytest.param(
            model((-1, -1, 3)),
            [spec((28, 28, 1))],
            "the data has shape (28, 28, 1) a sample, the model takes (any, any, 3)",
            id="another number of channels",
        ),
        pytest.param(
            model((4,), (3,)),
            [spec((4,))],
            "the data has 1 input a sample, the model takes 2 (in0, in1)",
            id="an input missing",
        ),
        pytest.param(
            model((16,), dtype="int32"),
            [spec((16,), "float32")],
            "the data is float32, the model takes int32: save the data as whole numbers",
            id="floats into an integer input",
        ),
        pytest.param(
            model((4,), classes=5),
            [spec((4,))],
            "the data's labels go up to 9, the model tells 5 classes apart",
            id="more classes than outputs",
        ),
    ],
)
def test_does_not_fit(
    signature: variant_pb2.Signature, data: list[variant_pb2.TensorSpec], message: str
) -> None:
    with pytest.raises(ConversionError) as refused:
        check_fits(signature, data, classes=10)
    assert refused.value.message == message
    assert refused.value.reason == refusal_pb2.REFUSAL_REASON_SHAPE_MISMATCH
