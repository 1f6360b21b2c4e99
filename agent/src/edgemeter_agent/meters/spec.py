"""External meters by text: KIND:TARGET?option=value&option=value.

    exec:PROGRAM ARGS                 remote:HOST:PORT?token=…        joulescope:[SERIAL]
    ina226:BUS:ADDR?shunt_mohm=10     ina228:BUS:ADDR?shunt_mohm=10   ina260:BUS:ADDR
    shelly:HOST?channel=1             tasmota:HOST                    scpi:RESOURCE?channel=2

Options that every kind takes:

    coverage=wall|board|module|words   what the meter covers
    name=NAME                          what Plan.meter asks for; KIND:TARGET without it
    gain_error=0.005                   standard uncertainty of the gain, as a share
    offset_mw=2                        standard uncertainty of the zero
    lag_s=0.4                          time constant of a first-order lag

A value may be percent-encoded. In `exec:`, what follows a question mark is options only where it begins with
the name of one; else it belongs to the program's arguments.
"""

from __future__ import annotations

import dataclasses
import importlib
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import unquote

from edgemeter_agent.board.root import BoardRoot
from edgemeter_agent.meters import Description, Meter

MAX_SPEC_CHARS = 1000
MAX_NAME_CHARS = 100

COMMON_OPTIONS = ("coverage", "gain_error", "lag_s", "name", "offset_mw")


@dataclass(frozen=True, kw_only=True)
class Kind:
    """One kind of external meter.

    Attributes:
        module: of this package, with `prepare(spec, board) -> Callable[[], Meter]`, which checks all that can
            be known without touching the meter and raises ValueError.
        usage: for a help text.
        summary: a line.
        options: beside the common ones.
    """

    module: str
    usage: str
    summary: str
    options: tuple[str, ...] = ()


_INA_OPTIONS = ("average", "conversion_us", "range_a", "shunt_mohm", "shunt_tolerance")

KINDS: dict[str, Kind] = {
    "exec": Kind(
        module="exec_program",
        usage="exec:PROGRAM ARGS",
        summary="a program that prints lines of `monotonic_ns watts`",
        options=("rate_hz", "resolution_mw"),
    ),
    "remote": Kind(
        module="remote",
        usage="remote:HOST:PORT[?token=TOKEN]",
        summary="a meter that another host serves with `edgemeter-agent meter serve`",
        options=("token",),
    ),
    "joulescope": Kind(
        module="joulescope",
        usage="joulescope:[SERIAL]",
        summary="a Joulescope on USB",
        options=("rate_hz",),
    ),
    "ina226": Kind(
        module="ina_i2c",
        usage="ina226:BUS:ADDR?shunt_mohm=R",
        summary="an INA226 on I2C without a kernel driver",
        options=_INA_OPTIONS,
    ),
    "ina228": Kind(
        module="ina_i2c",
        usage="ina228:BUS:ADDR?shunt_mohm=R",
        summary="an INA228 on I2C, which counts energy",
        options=_INA_OPTIONS,
    ),
    "ina260": Kind(
        module="ina_i2c",
        usage="ina260:BUS:ADDR",
        summary="an INA260 on I2C, whose shunt is built in",
        options=("average", "conversion_us"),
    ),
    "shelly": Kind(
        module="shelly",
        usage="shelly:HOST[?channel=N]",
        summary="a Shelly plug or relay with a meter",
        options=("channel", "counter"),
    ),
    "tasmota": Kind(
        module="tasmota",
        usage="tasmota:HOST",
        summary="a plug with Tasmota's firmware",
        options=("counter", "password", "user"),
    ),
    "scpi": Kind(
        module="scpi",
        usage="scpi:RESOURCE[?channel=N]",
        summary="a power analyser: HOST:PORT, or a VISA resource",
        options=("channel", "dialect", "query", "rate_hz"),
    ),
}


@dataclass(frozen=True, kw_only=True)
class Spec:
    """A text taken apart; its kind and the names of its options are known to be right."""

    kind: str
    target: str
    options: Mapping[str, str]

    @property
    def name(self) -> str:
        """Unique as long as two meters differ in kind, target or channel. Never holds a secret."""
        channel = f"?channel={self.options['channel']}" if "channel" in self.options else ""
        return self.options.get("name") or (
            f"{self.kind}:{self.target}{channel}" if self.target else self.kind
        )

    def number(self, option: str, default: float, low: float, high: float) -> float:
        """Raises ValueError where it is no number from `low` to `high`."""
        text = self.options.get(option)
        if text is None:
            return default
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not low <= value <= high:
            raise self.wrong(f"{option}={text} is no number from {low:g} to {high:g}")
        return value

    def whole(self, option: str, default: int, low: int, high: int) -> int:
        """Raises ValueError where it is no whole number from `low` to `high`."""
        value = self.number(option, default, low, high)
        if value != int(value):
            raise self.wrong(f"{option}={self.options[option]} is no whole number")
        return int(value)

    def choice(self, option: str, choices: Sequence[str], default: str) -> str:
        value = self.options.get(option, default)
        if value not in choices:
            raise self.wrong(f"{option}={value} is none of {', '.join(choices)}")
        return value

    def wrong(self, what: str) -> ValueError:
        """A line that names the meter and not its secrets."""
        return ValueError(f"{self.kind}:{self.target}: {what}")

    def described(self, description: Description) -> Description:
        """What the meter says of itself, overruled by what its user says of it."""
        return dataclasses.replace(
            description,
            name=self.name,
            coverage=self.options.get("coverage", description.coverage),
            gain_error=self.number("gain_error", description.gain_error, 0, 1),
            offset_error_mw=self.number("offset_mw", description.offset_error_mw, 0, 1e6),
            lag_s=self.number("lag_s", description.lag_s, 0, 60),
        )


def parse(text: str) -> Spec:
    """Raises ValueError, one line, for what is no spec."""
    if len(text) > MAX_SPEC_CHARS or not text.isprintable():
        raise ValueError(f"a meter's spec is one line of at most {MAX_SPEC_CHARS} printable characters")
    kind, colon, rest = text.partition(":")
    if not colon or kind not in KINDS:
        # Cut at what might begin a secret.
        shown = text.partition("?")[0][:80]
        raise ValueError(
            f"{shown!r} is no meter; it must begin with one of {', '.join(f'{k}:' for k in KINDS)}"
        )
    known = (*COMMON_OPTIONS, *KINDS[kind].options)
    target, mark, tail = rest.rpartition("?")
    if not mark or (kind == "exec" and tail.partition("=")[0] not in known):
        target, tail = rest, ""
    elif not tail:
        raise ValueError(f"{kind}:{target}: no option follows the question mark")
    spec = Spec(kind=kind, target=target.strip(), options=_options(f"{kind}:{target}", known, tail))
    if not spec.target and kind != "joulescope":
        raise ValueError(f"{kind}: without a target; the form is {KINDS[kind].usage}")
    if len(spec.name) > MAX_NAME_CHARS and "name" in spec.options:
        raise spec.wrong(f"its name has more than {MAX_NAME_CHARS} characters")
    _check_common(spec)
    return spec


def prepare(text: str, board: BoardRoot | None = None) -> Callable[[], Meter]:
    """Checks everything that can be known without touching the meter; what comes back opens it.

    Raises ValueError, one line.
    """
    spec = parse(text)
    module = importlib.import_module(f"edgemeter_agent.meters.{KINDS[spec.kind].module}")
    opener: Callable[[], Meter] = module.prepare(spec, board or BoardRoot())
    return opener


def open_spec(text: str, board: BoardRoot | None = None) -> Meter:
    """Opens the external meter that `text` names.

    Raises ValueError where the text is wrong and MeterError where the meter can't be read; one line each.
    """
    return prepare(text, board)()


def describe_kinds() -> list[tuple[str, str]]:
    """(usage, summary) of every kind, for a help text."""
    return [(kind.usage, kind.summary) for kind in KINDS.values()]


def _options(shown: str, known: Sequence[str], tail: str) -> dict[str, str]:
    options: dict[str, str] = {}
    for part in tail.split("&") if tail else ():
        option, equals, value = part.partition("=")
        if option not in known:
            raise ValueError(f"{shown}: no option {option!r}; there are {', '.join(sorted(known))}")
        value = unquote(value, errors="replace")
        if not equals or not value or not value.isprintable():
            raise ValueError(f"{shown}: the option {option} has no value; write {option}=VALUE")
        if option in options:
            raise ValueError(f"{shown}: the option {option} stands twice")
        options[option] = value
    return options


def _check_common(spec: Spec) -> None:
    """So that a wrong common option is found before the meter is opened."""
    spec.number("gain_error", 0, 0, 1)
    spec.number("offset_mw", 0, 0, 1e6)
    spec.number("lag_s", 0, 0, 60)
    if len(spec.options.get("coverage", "")) > MAX_NAME_CHARS:
        raise spec.wrong(f"coverage has more than {MAX_NAME_CHARS} characters")
