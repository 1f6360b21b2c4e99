"""ONNX files as users bring them: loaded, told apart, predicted with."""

from __future__ import annotations

import math
import struct
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from edgemeter_converters.exceptions import ConversionError
from edgemeter_converters.models import onnx as onnx_models
from edgemeter_converters.models import onnx_anatomy
from edgemeter_converters.models.model import LoadedModel
from edgemeter_protos.v1 import refusal_pb2
from tests.integration.converters import onnx_networks as networks

NOT_A_MODEL = refusal_pb2.REFUSAL_REASON_NOT_A_MODEL
UNSAFE = refusal_pb2.REFUSAL_REASON_UNSAFE_MODEL


def load(folder: Path, content: bytes) -> LoadedModel:
    path = folder / "blob"
    path.write_bytes(content)
    return onnx_models.load(path, "mine.onnx")


def refused(folder: Path, content: bytes) -> ConversionError:
    with pytest.raises(ConversionError) as caught:
        load(folder, content)
    assert caught.value.message.startswith("mine.onnx: ")
    assert "\n" not in caught.value.message
    return caught.value


def test_a_model_is_what_the_reference_says_it_is(tmp_path: Path) -> None:
    made = networks.convolutional()
    loaded = load(tmp_path, networks.written(made))
    (taken,), (given,) = loaded.signature.inputs, loaded.signature.outputs
    assert (taken.name, taken.dtype, list(taken.shape)) == ("image", "float32", [-1, 3, 10, 10])
    assert (given.name, list(given.shape)) == ("scores", [-1, 4])
    assert loaded.parameters == networks.CONVOLUTIONAL_WEIGHTS
    samples = networks.images(5)
    (scores,) = onnx_models.predict(loaded.network, [samples])
    assert scores.dtype == np.float64
    assert scores.shape == (5, 4)
    expected = ReferenceEvaluator(made).run(None, {"image": samples})[0]
    np.testing.assert_allclose(scores, expected, rtol=1e-4, atol=1e-5)


def test_a_fixed_batch_of_one_takes_any_number_of_samples(tmp_path: Path) -> None:
    loaded = load(tmp_path, networks.written(networks.convolutional(batch=1)))
    assert list(loaded.signature.inputs[0].shape) == [1, 3, 10, 10]
    (scores,) = onnx_models.predict(loaded.network, [networks.images(3)])
    free = load(tmp_path, networks.written(networks.convolutional()))
    np.testing.assert_array_equal(scores, onnx_models.predict(free.network, [networks.images(3)])[0])


def test_anatomy(tmp_path: Path) -> None:
    loaded = load(tmp_path, networks.written(networks.convolutional()))
    found = onnx_anatomy.anatomy(loaded.network, loaded.signature)
    assert found.macs == networks.CONVOLUTIONAL_MACS
    assert found.non_zero_parameters == loaded.parameters
    assert [(each.kind, each.count, each.parameters) for each in found.layers[:2]] == [
        ("Conv", 2, 8 * 27 + 8 + 8 * 9),
        ("Add", 1, 0),
    ]
    assert sum(each.parameters for each in found.layers) == loaded.parameters


LSTM = helper.make_node(
    "LSTM", ["x", "w", "r"], ["y"], name="lstm", hidden_size=5, direction="bidirectional", layout=0
)
COUNTED: list[Any] = [
    # operator, its weights, input, output, multiply-accumulates
    pytest.param(
        [helper.make_node("Transpose", ["in"], ["x"], perm=[1, 0, 2]), LSTM,
         helper.make_node("Transpose", ["y"], ["out"], perm=[2, 0, 1, 3])],
        {"w": (2, 20, 3), "r": (2, 20, 5)}, [7, 3], [7, 2, 5],
        7 * (2 * 20 * 3 + 2 * 20 * 5), id="lstm",
    ),
    pytest.param(
        [helper.make_node("ConvTranspose", ["in", "w"], ["out"], strides=[2, 2], group=2)],
        {"w": (4, 3, 2, 2)}, [4, 5, 5], [6, 10, 10], 4 * 25 * 3 * 4, id="transposed, grouped",
    ),
    pytest.param(
        [helper.make_node("Transpose", ["in"], ["key"], perm=[0, 1, 3, 2]),
         helper.make_node("MatMul", ["in", "key"], ["scores"]),
         helper.make_node("Softmax", ["scores"], ["shares"]),
         helper.make_node("MatMul", ["shares", "in"], ["out"])],
        {}, [2, 6, 4], [2, 6, 4], 2 * (2 * 6 * 6 * 4), id="attention",
    ),
    pytest.param(
        [helper.make_node("Einsum", ["in", "w"], ["out"], equation="bik,kj->bij")],
        {"w": (4, 9)}, [5, 4], [5, 9], 5 * 4 * 9, id="einsum",
    ),
    pytest.param(
        [helper.make_node("Relu", ["in"], ["out"])], {}, [3], [3], 0, id="none",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("nodes", "weights", "shape", "out_shape", "macs"), COUNTED)
def test_multiply_accumulates(
    nodes: list[Any],
    weights: dict[str, tuple[int, ...]],
    shape: list[int],
    out_shape: list[int],
    macs: int,
    tmp_path: Path,
) -> None:
    made = networks.model(
        nodes,
        [networks.value("in", ["n", *shape])],
        [networks.value("out", ["n", *out_shape])],
        {name: networks.constant(1, *size) for name, size in weights.items()},
    )
    loaded = load(tmp_path, networks.written(made))
    assert onnx_anatomy.anatomy(loaded.network, loaded.signature).macs == macs
    assert loaded.parameters == sum(math.prod(size) for size in weights.values())


def test_no_macs_where_sizes_are_free(tmp_path: Path) -> None:
    made = networks.model(
        [helper.make_node("Conv", ["in", "w"], ["out"], name="conv")],
        [networks.value("in", ["n", 3, "height", "width"])],
        [networks.value("out", ["n", 2, "h", "w"])],
        {"w": networks.constant(1, 2, 3, 3, 3)},
    )
    loaded = load(tmp_path, networks.written(made))
    assert list(loaded.signature.inputs[0].shape) == [-1, 3, -1, -1]
    assert onnx_anatomy.anatomy(loaded.network, loaded.signature).macs == 0


def test_constants_and_initializers_that_are_inputs_are_weights_all_the_same(tmp_path: Path) -> None:
    tensor = numpy_helper.from_array(networks.constant(1, 4, 2), "")
    made = networks.model(
        [
            helper.make_node("Constant", [], ["k"], value=tensor),
            helper.make_node("MatMul", ["in", "k"], ["hidden"]),
            helper.make_node("MatMul", ["hidden", "w"], ["out"]),
        ],
        # As files before IR version 4 have it.
        [networks.value("in", ["n", 4]), networks.value("w", [2, 3])],
        [networks.value("out", ["n", 3])],
        {"w": networks.constant(2, 2, 3)},
        opset=9,
        ir_version=3,
    )
    loaded = load(tmp_path, networks.written(made))
    assert [spec.name for spec in loaded.signature.inputs] == ["in"]
    assert loaded.parameters == 4 * 2 + 2 * 3
    content: Any = loaded.network
    names = [node.name for node in onnx.ModelProto.FromString(content).graph.node]
    assert all(names)
    assert len(set(names)) == len(names)


def test_functions_are_inlined(tmp_path: Path) -> None:
    doubled = helper.make_function(
        "mine",
        "Double",
        ["a"],
        ["b"],
        [helper.make_node("Add", ["a", "a"], ["b"])],
        [helper.make_opsetid("", 17)],
    )
    made = networks.model(
        [helper.make_node("Double", ["in"], ["out"], domain="mine")],
        [networks.value("in", ["n", 4])],
        [networks.value("out", ["n", 4])],
        {},
    )
    made.functions.append(doubled)
    made.opset_import.append(helper.make_opsetid("mine", 1))
    loaded = load(tmp_path, networks.written(made))
    samples = networks.constant(3, 2, 4)
    np.testing.assert_allclose(onnx_models.predict(loaded.network, [samples])[0], 2 * samples)


def test_an_operator_of_its_author_is_refused_by_name(tmp_path: Path) -> None:
    made = networks.model(
        [helper.make_node("Mystery", ["in"], ["out"], domain="com.mine", name="seventh")],
        [networks.value("in", ["n", 4])],
        [networks.value("out", ["n", 4])],
        {},
    )
    made.opset_import.append(helper.make_opsetid("com.mine", 1))
    error = refused(tmp_path, made.SerializeToString())
    assert error.reason == UNSAFE
    assert "'seventh' is com.mine::Mystery" in error.message


def test_an_operator_of_its_author_is_found_in_a_branch_too(tmp_path: Path) -> None:
    def branch(node: Any) -> Any:
        return helper.make_graph([node], "branch", [], [networks.value("inside", ["n", 4])])

    chosen = helper.make_node(
        "If",
        ["yes"],
        ["out"],
        then_branch=branch(helper.make_node("Mystery", ["in"], ["inside"], domain="com.mine", name="hidden")),
        else_branch=branch(helper.make_node("Identity", ["in"], ["inside"])),
    )
    made = networks.model(
        [chosen], [networks.value("in", ["n", 4])], [networks.value("out", ["n", 4])], {"yes": np.array(True)}
    )
    made.opset_import.append(helper.make_opsetid("com.mine", 1))
    assert "'hidden' is com.mine::Mystery" in refused(tmp_path, made.SerializeToString()).message


def test_weights_in_another_file_are_not_read(tmp_path: Path) -> None:
    made = networks.convolutional()
    stem = made.graph.initializer[0]
    stem.ClearField("raw_data")
    stem.data_location = TensorProto.EXTERNAL
    stem.external_data.add(key="location", value="/etc/hostname")
    error = refused(tmp_path, made.SerializeToString())
    assert error.reason == NOT_A_MODEL
    assert "'stem.w' is in another file (/etc/hostname); save all in one: onnx.save(" in error.message


@pytest.mark.parametrize(
    ("content", "said"),
    [
        pytest.param(b"", "it is no ONNX model", id="empty"),
        pytest.param(b"PK\x03\x04 a zip file of another kind", "it is no ONNX model", id="a zip"),
        pytest.param(struct.pack("<64Q", *range(64)), "it is no ONNX model", id="numbers"),
        pytest.param(networks.convolutional().SerializeToString()[:900], "it is no ONNX model", id="cut"),
        pytest.param(
            networks.convolutional(batch=8).SerializeToString(), "has to be the batch, free or 1", id="8"
        ),
    ],
)
def test_what_is_no_model_is_refused(content: bytes, said: str, tmp_path: Path) -> None:
    error = refused(tmp_path, content)
    assert error.reason == NOT_A_MODEL
    assert said in error.message


def test_an_invalid_graph_is_refused_with_the_reason(tmp_path: Path) -> None:
    made = networks.convolutional()
    made.graph.node[1].input[0] = "nowhere"
    assert "nowhere" in refused(tmp_path, made.SerializeToString()).message


def test_two_gibibytes_are_too_large(tmp_path: Path) -> None:
    path = tmp_path / "large"
    with path.open("wb") as file:
        file.truncate(2 << 30)
    with pytest.raises(ConversionError, match="2,147,483,648 bytes") as caught:
        onnx_models.load(path, "large.onnx")
    assert caught.value.reason == refusal_pb2.REFUSAL_REASON_TOO_LARGE


def test_text_is_refused(tmp_path: Path) -> None:
    made = networks.model(
        [helper.make_node("Identity", ["in"], ["out"])],
        [networks.value("in", ["n"], TensorProto.STRING)],
        [networks.value("out", ["n"], TensorProto.STRING)],
        {},
    )
    assert "not a tensor of numbers" in refused(tmp_path, made.SerializeToString()).message
