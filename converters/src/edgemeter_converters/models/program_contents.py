"""What a .pt2's program would have torch do, looked at before torch sees it. Pure.

`torch.export.load` trusts the file: it resolves the name of every op through Python attributes of `torch`
(`torch.os.system` is one), evaluates the expressions of free dimensions as Python through sympy, imports the
modules that a structure's enumerations name, and writes argument names into code that it then runs. What
passes here can do none of that.
"""

from __future__ import annotations

import ast
import json
import re
from typing import Any, NoReturn

from edgemeter_converters.exceptions import ConversionError
from edgemeter_protos.v1 import refusal_pb2

_OPERATOR = re.compile(
    r"torch\.ops\.(aten|prims|torchvision)"
    r"\.(?!__)[A-Za-z0-9_]+\.(?!__)[A-Za-z0-9_]+"
    r"|torch\.ops\.higher_order\.(cond|while_loop|scan|wrap_with_set_grad_enabled|wrap_with_autocast)"
    r"|_operator\.(getitem|add|sub|mul|truediv|floordiv|mod|neg|pow|eq|ne|lt|le|gt|ge|and_|or_|not_|pos|abs)"
    r"|math\.(ceil|floor|trunc|sqrt|log2)"
    r"|torch\.sym_(int|float|not|max|min|ite|sum|sqrt|constrain_range(_for_size)?)"
)
_QUANTIZED = re.compile(r"torch\.ops\.(quantized|quantized_decomposed|torchao)\.")
_TOUCH_FILES = re.compile(r"torch\.ops\.aten\.(from_file|save|load)\b")

_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_NUMBER = re.compile(r"[-+]?[0-9.]+(e[-+]?[0-9]+)?")

_FUNCTIONS = frozenset(
    {
        "Symbol", "Integer", "Float", "Rational", "Add", "Mul", "Pow", "Max", "Min", "Mod", "Abs",
        "floor", "ceiling", "sqrt", "Eq", "Ne", "Ge", "Le", "Gt", "Lt", "Equality", "Unequality",
        "GreaterThan", "LessThan", "StrictGreaterThan", "StrictLessThan", "And", "Or", "Not",
        "Piecewise", "ExprCondPair", "FloorDiv", "ModularIndexing", "Where", "PythonMod", "CleanDiv",
        "CeilToInt", "FloorToInt", "CeilDiv", "LShift", "RShift", "PowByNatural", "FloatPow",
        "FloatTrueDiv", "IntTrueDiv", "IsNonOverlappingAndDenseIndicator", "TruncToFloat", "TruncToInt",
        "RoundToInt", "RoundDecimal", "ToFloat", "Identity",
    }
)  # fmt: skip
"""Of sympy, and of `torch.utils._sympy.functions`, which serialized expressions are written in."""

_MAX_EXPRESSION_CHARACTERS = 2000

_EXPRESSION_NODES = (
    ast.Expression,
    ast.Name,
    ast.Load,
    ast.keyword,
    ast.BinOp,
    ast.UnaryOp,
    ast.Compare,
    ast.operator,
    ast.unaryop,
    ast.cmpop,
)

_STRUCTURES = frozenset({None, "builtins.tuple", "builtins.list", "builtins.dict", "collections.OrderedDict"})


def check(text: str | bytes, file_name: str) -> None:
    """Nothing, where the program consists of torch's own harmless ops and of plain structures.

    Args:
        text: `models/model.json` of the archive.

    Raises:
        ConversionError: UNSAFE_MODEL, naming what; NOT_A_MODEL where it is no program, or a quantized one.
    """
    try:
        program = json.loads(text)
    except (ValueError, RecursionError):
        program = None
    if not isinstance(program, dict) or "graph_module" not in program:
        raise ConversionError(
            f"{file_name}: it holds no exported program; write one by torch.export.save",
            reason=refusal_pb2.REFUSAL_REASON_NOT_A_MODEL,
        )
    # No recursion: the depth is the file's to choose.
    pending: list[Any] = [program]
    while pending:
        value = pending.pop()
        if isinstance(value, list):
            pending.extend(value)
        elif isinstance(value, dict):
            for key, each in value.items():
                _check_entry(key, each, file_name)
                if key not in ("metadata", "guards_code"):
                    pending.append(each)


def check_payloads(text: str | bytes, file_name: str) -> None:
    """Nothing, where every weight or constant is written as plain numbers.

    Args:
        text: `data/weights/model_weights_config.json`, or that of the constants.

    Raises:
        ConversionError: UNSAFE_MODEL, naming the weight; NOT_A_MODEL.
    """
    try:
        payloads = json.loads(text)["config"]
        kinds = [(name, each["use_pickle"], str(each["path_name"])) for name, each in payloads.items()]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise ConversionError(
            f"{file_name}: the list of its weights can't be read",
            reason=refusal_pb2.REFUSAL_REASON_NOT_A_MODEL,
        ) from None
    for name, pickled, record in kinds:
        if pickled or not record.startswith(("weight_", "tensor_")):
            _refuse(file_name, f"{name!r} is pickled, and unpickling could run code: save plain tensors only")


def _check_entry(key: str, value: Any, file_name: str) -> None:
    if key in ("target", "as_operator") and isinstance(value, str) and value:
        _check_operator(value, file_name)
    elif key == "expr_str":
        _check_expression(value, file_name)
    elif key in ("in_spec", "out_spec") and value:
        _check_structure(value, key == "in_spec", file_name)
    elif key == "name" and isinstance(value, str) and value and not _IDENTIFIER.fullmatch(value):
        _refuse(file_name, f"it names a tensor {value[:60]!r}, which is no identifier")
    elif key == "forward_arg_names" and value:
        if not all(isinstance(name, str) and _IDENTIFIER.fullmatch(name) for name in value):
            _refuse(file_name, f"it names its arguments {str(value)[:60]}, which are no identifiers")
    elif key in ("as_custom_obj", "custom_obj") and isinstance(value, dict):
        _refuse(file_name, "it brings along an object of a class of its own")


def _check_operator(target: str, file_name: str) -> None:
    if _QUANTIZED.match(target):
        raise ConversionError(
            f"{file_name}: it is quantized already, as a reference that runs slower than float32: give the"
            " float32 program, and have a recipe quantize it",
            reason=refusal_pb2.REFUSAL_REASON_NOT_A_MODEL,
        )
    if _TOUCH_FILES.match(target):
        _refuse(file_name, f"its op {target} reads or writes files")
    # A buffer's or a parameter's name stands under the same key as an op's; only ops have these beginnings.
    if target.startswith(("torch", "_operator", "math", "#")) and not _OPERATOR.fullmatch(target):
        _refuse(file_name, f"its op {target[:80]} is none of torch's own tensor ops")


def _check_expression(text: Any, file_name: str) -> None:
    if not isinstance(text, str) or len(text) > _MAX_EXPRESSION_CHARACTERS:
        _refuse(file_name, "the size of a free dimension is no short expression")
    try:
        tree = ast.parse(text, mode="eval")
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        tree = None
    if tree is None or not all(_harmless(node) for node in ast.walk(tree)):
        _refuse(file_name, f"the size of a free dimension, {text[:80]!r}, is more than arithmetic")


def _harmless(node: ast.AST) -> bool:
    if isinstance(node, ast.Call):
        return isinstance(node.func, ast.Name) and node.func.id in _FUNCTIONS
    if isinstance(node, ast.Constant):
        # sympy evaluates some strings again.
        text = node.value
        return not isinstance(text, str) or bool(_IDENTIFIER.fullmatch(text) or _NUMBER.fullmatch(text))
    if isinstance(node, ast.Name):
        return "__" not in node.id
    return isinstance(node, _EXPRESSION_NODES)


def _check_structure(text: Any, named: bool, file_name: str) -> None:
    """A `torch.utils._pytree` structure: tuples, lists and dictionaries; keys of inputs become code."""
    try:
        pending: list[Any] = [json.loads(text)]
    except (TypeError, ValueError, RecursionError):
        _refuse(file_name, "the structure of its inputs or outputs can't be read")
    while pending:
        value = pending.pop()
        if isinstance(value, list):
            pending.extend(value)
        elif isinstance(value, dict):
            context = str(value.get("context"))
            if value.get("type") not in _STRUCTURES or "__enum__" in context:
                _refuse(
                    file_name,
                    f"its inputs or outputs are in a {value.get('type')}: use tuples, lists and dictionaries",
                )
            keys = re.findall(r'"([^"]*)"', context) if named else []
            if not all(_IDENTIFIER.fullmatch(key) for key in keys):
                _refuse(file_name, f"it names its arguments {context[:60]}, which are no identifiers")
            pending.append(value.get("children_spec"))


def _refuse(file_name: str, what: str) -> NoReturn:
    raise ConversionError(f"{file_name}: {what}", reason=refusal_pb2.REFUSAL_REASON_UNSAFE_MODEL)
