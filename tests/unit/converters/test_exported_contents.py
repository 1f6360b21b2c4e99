"""What may stand in an exported program's description, before torch resolves, imports or evaluates it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from edgemeter_converters.exceptions import ConversionError
from edgemeter_converters.models import program_contents
from edgemeter_protos.v1 import refusal_pb2

LEAF: dict[str, Any] = {"type": None, "context": None, "children_spec": []}


def program(**changes: Any) -> dict[str, Any]:
    """One linear layer with a free batch, and an entry of the caller's."""
    size = {"as_expr": {"expr_str": "Symbol('s17', positive=True, integer=True)", "hint": {"as_int": 2}}}
    node = {
        "target": "torch.ops.aten.linear.default",
        "inputs": [{"name": "input", "arg": {"as_tensor": {"name": "x"}}, "kind": 1}],
        "outputs": [{"as_tensor": {"name": "linear"}}],
        "metadata": {"stack_trace": "File 'os.system'", "torch_fn": "linear_1;builtin.linear"},
    }
    structure = json.dumps([1, {"type": "builtins.tuple", "context": "null", "children_spec": [LEAF]}])
    return {
        "graph_module": {
            "graph": {"nodes": [node], "tensor_values": {"x": {"sizes": [size, {"as_int": 6}]}}},
            "module_call_graph": [
                {"fqn": "", "signature": {"in_spec": structure, "out_spec": structure}},
                {"fqn": "head", "signature": None},
            ],
            "signature": {"input_specs": [{"parameter": {"arg": {"name": "p"}, "parameter_name": "a.b"}}]},
            **changes,
        },
        "guards_code": ["__import__('os').system('true')"],
    }


def refused(text: str | bytes) -> ConversionError:
    with pytest.raises(ConversionError) as caught:
        program_contents.check(text, "net.pt2")
    assert caught.value.message.startswith("net.pt2: ")
    assert "\n" not in caught.value.message
    return caught.value


def test_torchs_own_ops_in_plain_structures_pass() -> None:
    program_contents.check(json.dumps(program()), "net.pt2")


@pytest.mark.parametrize(
    "target",
    [
        "torch.os.system",  # torch imports os
        "torch.ops.aten.__class__.__init__",
        "torch.ops.aten.from_file.default",
        "torch.ops.profiler._record_function_enter.default",
        "torch.load",
        "torch._C._jit_pass_inline",
        "torch.ops.higher_order.executorch_call_delegate",
        "_operator.attrgetter",
        "math.__loader__.load_module",
        "#triton:kernel",
    ],
)
@pytest.mark.parametrize("key", ["target", "as_operator"])
def test_a_name_that_is_no_tensor_op_is_refused(key: str, target: str) -> None:
    error = refused(json.dumps(program(extra=[{"nested": {key: target}}])))
    assert error.reason == refusal_pb2.REFUSAL_REASON_UNSAFE_MODEL
    assert target in error.message


@pytest.mark.parametrize(
    "target",
    ["torch.ops.aten.conv2d.default", "torch.ops.higher_order.cond", "_operator.getitem", "torch.sym_max"],
)
def test_ops_of_ordinary_networks_pass(target: str) -> None:
    program_contents.check(json.dumps(program(extra=[{"target": target}])), "net.pt2")


def test_a_quantized_program_is_no_start_for_recipes() -> None:
    target = "torch.ops.quantized_decomposed.quantize_per_tensor.default"
    error = refused(json.dumps(program(extra=[{"target": target}])))
    assert error.reason == refusal_pb2.REFUSAL_REASON_NOT_A_MODEL
    assert "float32 program" in error.message


@pytest.mark.parametrize(
    ("expression", "harmless"),
    [
        ("2*s0 + 1", True),
        ("Max(1, FloorDiv(s0, 2))", True),
        ("Mul(Integer(2), Symbol('s0', integer=True))", True),
        ("Float('1.5', precision=53)", True),
        ("__import__('os').system('true')", False),
        ("().__class__.__mro__", False),
        ("(lambda: 1)()", False),
        ("Symbol('s0').func", False),
        # sympy evaluates the strings that it is given
        ("Integer('__import__(chr(111))')", False),
        ("eval('1')", False),
        ("[s for s in (1,)]", False),
        ("s0 +", False),
        ("1+" * 1500 + "1", False),
    ],
)
def test_sizes_are_arithmetic(expression: str, harmless: bool) -> None:
    text = json.dumps(program(extra=[{"expr_str": expression}]))
    if harmless:
        program_contents.check(text, "net.pt2")
    else:
        assert refused(text).reason == refusal_pb2.REFUSAL_REASON_UNSAFE_MODEL


@pytest.mark.parametrize(
    ("key", "structure"),
    [
        # the default factory is looked up in any module
        ("out_spec", {"type": "collections.defaultdict", "context": '{"default_factory_module": "os"}'}),
        ("out_spec", {"type": "builtins.dict", "context": '[{"__enum__": true, "fqn": "antigravity:X"}]'}),
        # keys become arguments of generated code
        ("in_spec", {"type": "builtins.dict", "context": '["x=exit()"]'}),
    ],
)
def test_structures_are_plain(key: str, structure: dict[str, Any]) -> None:
    spec = json.dumps([1, {**structure, "children_spec": [LEAF]}])
    error = refused(json.dumps(program(extra=[{key: spec}])))
    assert error.reason == refusal_pb2.REFUSAL_REASON_UNSAFE_MODEL


def test_names_are_identifiers() -> None:
    for extra in ({"name": "x, y=exit()"}, {"forward_arg_names": ["x=exit()"]}):
        assert "identifier" in refused(json.dumps(program(extra=[extra]))).message


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", "[" * 100_000])
def test_what_is_no_program_is_no_model(text: str) -> None:
    assert refused(text).reason == refusal_pb2.REFUSAL_REASON_NOT_A_MODEL


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        ({"use_pickle": False, "path_name": "weight_0"}, None),
        ({"use_pickle": False, "path_name": "tensor_3"}, None),
        ({"use_pickle": True, "path_name": "weight_0"}, refusal_pb2.REFUSAL_REASON_UNSAFE_MODEL),
        ({"use_pickle": False, "path_name": "custom_obj_0"}, refusal_pb2.REFUSAL_REASON_UNSAFE_MODEL),
        ({"use_pickle": False, "path_name": "opaque_obj_0"}, refusal_pb2.REFUSAL_REASON_UNSAFE_MODEL),
        ({"path_name": "weight_0"}, refusal_pb2.REFUSAL_REASON_NOT_A_MODEL),
    ],
)
def test_weights_are_plain_numbers(payload: dict[str, Any], reason: int | None) -> None:
    text = json.dumps({"config": {"layer.weight": payload}})
    if reason is None:
        program_contents.check_payloads(text, "net.pt2")
        return
    with pytest.raises(ConversionError) as caught:
        program_contents.check_payloads(text, "net.pt2")
    assert caught.value.reason == reason
