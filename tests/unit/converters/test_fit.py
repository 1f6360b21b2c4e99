from __future__ import annotations

import pytest

from edgemeter_converters.datasets import check_fits
from edgemeter_converters.exceptions import ConversionError
from edgemeter_protos.preprocessing import parse
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


NCHW = "scale=1/255,mean=0.485;0.456;0.406,std=0.229;0.224;0.225,layout=nchw"


@pytest.mark.parametrize(
    ("signature", "data", "preprocessing"),
    [
        pytest.param(model((3, 32, 40)), spec((32, 40, 3), "uint8"), NCHW, id="channels put first"),
        pytest.param(model((3, -1, -1)), spec((32, 40, 3), "uint8"), NCHW, id="free dimensions"),
        pytest.param(model((28, 28, 1)), spec((28, 28, 1), "uint8"), "scale=1/255", id="scaled"),
        pytest.param(
            model((1, 28, 28), dtype="uint8"),
            spec((28, 28, 1), "uint8"),
            "layout=nchw",
            id="whole numbers stay so",
        ),
    ],
)
def test_fits_after_preprocessing(
    signature: variant_pb2.Signature, data: variant_pb2.TensorSpec, preprocessing: str
) -> None:
    check_fits(signature, [data], classes=10, preprocessing=[parse(preprocessing)])


@pytest.mark.parametrize(
    ("signature", "data", "preprocessing", "message"),
    [
        pytest.param(
            model((3, 32, 40)),
            spec((32, 40, 3)),
            "",
            "the data has shape (32, 40, 3) a sample, the model takes (3, 32, 40): "
            "add the model with --preprocess layout=nchw, which puts the channels first",
            id="channels last",
        ),
        pytest.param(
            model((3, -1, -1)),
            spec((32, 40, 3)),
            "scale=1/255",
            "the data has shape (32, 40, 3) a sample, (32, 40, 3) after preprocessing (scale=1/255), "
            "the model takes (3, any, any): "
            "add the model with --preprocess layout=nchw, which puts the channels first",
            id="channels last, scaled",
        ),
        pytest.param(
            model((32, 40, 3)),
            spec((32, 40, 3)),
            "layout=nchw",
            "the data has shape (32, 40, 3) a sample, (3, 32, 40) after preprocessing (layout=nchw), "
            "the model takes (32, 40, 3): leave layout=nchw out of its preprocessing",
            id="put first in vain",
        ),
        pytest.param(
            model((3, 32, 32)),
            spec((28, 28, 1)),
            "layout=nchw",
            "the data has shape (28, 28, 1) a sample, (1, 28, 28) after preprocessing (layout=nchw), "
            "the model takes (3, 32, 32)",
            id="another picture",
        ),
        pytest.param(
            model((28, 28, 1)),
            spec((28, 28, 1)),
            "mean=1;2;3",
            "the model's preprocessing does not fit the data: mean has 3 numbers, and a sample of shape "
            "(28, 28, 1) has 1 channels: give one number, or one a channel",
            id="channels",
        ),
        pytest.param(
            model((28, 28, 1), dtype="uint8"),
            spec((28, 28, 1), "uint8"),
            "scale=1/255",
            "the data is float32 after preprocessing, the model takes uint8: leave out its arithmetic",
            id="arithmetic for whole numbers",
        ),
    ],
)
def test_refuses_after_preprocessing(
    signature: variant_pb2.Signature, data: variant_pb2.TensorSpec, preprocessing: str, message: str
) -> None:
    with pytest.raises(ConversionError) as refused:
        check_fits(signature, [data], preprocessing=[parse(preprocessing)])
    assert refused.value.message == message
    assert refused.value.reason == refusal_pb2.REFUSAL_REASON_SHAPE_MISMATCH


def test_each_input_has_its_preprocessing() -> None:
    signature = model((3, 8, 8), (4,))
    data = [spec((8, 8, 3)), spec((4,))]
    check_fits(signature, data, preprocessing=[parse("layout=nchw"), parse("")])
    with pytest.raises(ConversionError, match="there is preprocessing for 1 inputs, the model takes 2"):
        check_fits(signature, data, preprocessing=[parse("layout=nchw")])
