"""The arguments that a step takes, and how a recipe's call gives them. Pure."""

from __future__ import annotations

import difflib
import enum
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import TypeAlias

from edgemeter_converters.exceptions import RecipeError
from edgemeter_converters.steps.call import Alternatives, Percent, Ratio, StepCall, Value

Argument: TypeAlias = float | int | bool | str | Ratio | tuple[str, ...] | None
Arguments: TypeAlias = Mapping[str, Argument]


class Kind(enum.Enum):
    """What an argument's value may be; SHARE takes 0.3 and 30% for the same."""

    SHARE = "a share between 0 and 1"
    NUMBER = "a number"
    COUNT = "a whole number"
    FLAG = "nothing"
    CHOICE = "a word"
    NAMES = "names, parted by |"
    SHARE_OR_RATIO = "a share between 0 and 1, or N:M"


@dataclass(frozen=True, kw_only=True)
class Parameter:
    """One argument.

    Attributes:
        name: its keyword; a FLAG is given by the bare name.
        help: a few words.
        default: where the call leaves it out.
        required: whether the call must give it.
        positional: whether it may be given without its keyword; in the parameters' order.
        low, high: bounds of a number, both exclusive for a SHARE, inclusive otherwise.
        choices: of a CHOICE.
    """

    name: str
    kind: Kind
    help: str
    default: Argument = None
    required: bool = False
    positional: bool = False
    low: float = 0.0
    high: float = math.inf
    choices: tuple[str, ...] = ()


def bind(step_name: str, parameters: Sequence[Parameter], call: StepCall) -> Arguments:
    """Each parameter's value by its name, defaults filled in.

    Raises:
        RecipeError: an argument that the step doesn't take, one too many, missing or out of range.
    """
    by_name = {parameter.name: parameter for parameter in parameters}
    positional = [parameter for parameter in parameters if parameter.positional]
    given: dict[str, Argument] = {}
    for value in call.arguments:
        flag = by_name.get(value) if isinstance(value, str) else None
        if flag is not None and flag.kind is Kind.FLAG:
            given[flag.name] = True
        elif positional:
            parameter = positional.pop(0)
            given[parameter.name] = _read(step_name, parameter, value)
        else:
            raise RecipeError(
                f"{str(call)!r}: {_shown(value)} is one argument too many; {_takes(parameters)}"
            )
    for key, value in call.keywords:
        if key not in by_name or by_name[key].kind is Kind.FLAG:
            nearest = difflib.get_close_matches(key, by_name, n=1)
            hint = f"did you mean {nearest[0]!r}? " if nearest else ""
            raise RecipeError(f"{str(call)!r}: unknown argument {key!r}: {hint}{_takes(parameters)}")
        if key in given:
            raise RecipeError(f"{str(call)!r}: {key!r} is given twice")
        given[key] = _read(step_name, by_name[key], value)
    missing = [each.name for each in parameters if each.required and each.name not in given]
    if missing:
        raise RecipeError(f"{str(call)!r}: {step_name!r} needs {missing[0]!r}; {_takes(parameters)}")
    return MappingProxyType({each.name: given.get(each.name, each.default) for each in parameters})


def canonical(step_name: str, parameters: Sequence[Parameter], arguments: Arguments) -> StepCall:
    """The one way of writing a call with these arguments: those that may go without a keyword do, the others
    are left out where they have their default. `bind` of it gives the same arguments."""
    written: list[Value] = []
    keywords: list[tuple[str, Value]] = []
    for parameter in parameters:
        argument = arguments[parameter.name]
        if argument is None or (not parameter.positional and argument == parameter.default):
            continue
        if parameter.kind is Kind.FLAG:
            written.append(parameter.name)
        elif parameter.positional:
            written.append(_write(argument))
        else:
            keywords.append((parameter.name, _write(argument)))
    return StepCall(name=step_name, arguments=tuple(written), keywords=tuple(sorted(keywords)))


def _write(argument: Argument) -> Value:
    match argument:
        case tuple():
            return argument[0] if len(argument) == 1 else Alternatives(argument)
        case float() if argument.is_integer():
            return int(argument)
        case bool() | None:
            raise TypeError(f"{argument!r} is no value")
    return argument


def _read(step_name: str, parameter: Parameter, value: Value) -> Argument:
    match parameter.kind, value:
        case ((Kind.SHARE | Kind.SHARE_OR_RATIO), Percent()):
            return _bounded(step_name, parameter, float(value.value) / 100)
        case ((Kind.SHARE | Kind.SHARE_OR_RATIO), int() | float()):
            return _bounded(step_name, parameter, float(value))
        case Kind.SHARE_OR_RATIO, Ratio() if 0 < value.of < value.out_of:
            return value
        case Kind.NUMBER, int() | float():
            return _bounded(step_name, parameter, float(value))
        case Kind.COUNT, int():
            return int(_bounded(step_name, parameter, value))
        case Kind.CHOICE, str() if value in parameter.choices:
            return value
        case Kind.NAMES, str():
            return (value,)
        case Kind.NAMES, Alternatives():
            return value.words
    expected = f"one of {', '.join(parameter.choices)}" if parameter.choices else parameter.kind.value
    raise RecipeError(f"{step_name!r}: {parameter.name!r} is {_shown(value)}, expected {expected}")


def _bounded(step_name: str, parameter: Parameter, value: float) -> float:
    share = parameter.kind in (Kind.SHARE, Kind.SHARE_OR_RATIO)
    high = 1.0 if share else parameter.high
    inside = parameter.low < value < high if share else parameter.low <= value <= high
    if inside:
        return value
    bounds = f"between {parameter.low:g} and {high:g}" if high != math.inf else f"at least {parameter.low:g}"
    raise RecipeError(
        f"{step_name!r}: {parameter.name!r} is {value:g}, expected {parameter_noun(parameter)} {bounds}"
    )


def parameter_noun(parameter: Parameter) -> str:
    """ "a share", "a whole number", …"""
    return parameter.kind.value.split(" between")[0]


def _shown(value: Value) -> str:
    return repr(str(StepCall(name="", arguments=(value,)))[1:-1])


def _takes(parameters: Sequence[Parameter]) -> str:
    if not parameters:
        return "it takes no arguments"
    return f"it takes {', '.join(each.name for each in parameters)}"
