"""`scpi:RESOURCE`: a power analyser that speaks SCPI.

RESOURCE is HOST:PORT, or a VISA resource: TCPIP::HOST::PORT::SOCKET is a plain socket too, and everything
else (USB0::…::INSTR, GPIB0::…::INSTR, TCPIP::HOST::INSTR, ASRL/dev/ttyUSB0::INSTR) goes through PyVISA.
Options:

    dialect=yokogawa|generic   by what *IDN? answers, unless said
    query=MEAS:POW%3F          what a generic instrument is asked, one number in watts (default MEAS:POW?)
    channel=1                  Yokogawa: the element
    rate_hz=10                 questions a second, no more than the instrument has new values

Yokogawa's WT series (communication interface manual IM WT310E-17EN): the active power of one element is item
1 of :NUMERIC:NORMAL:VALUE?, renewed at the interval that :RATE? tells; NAN stands for no data and INF for
over range. Its error is 0.1 % of the reading and 0.05 % of the range (bulletin WT310E-01EN, 45 to 66 Hz),
maxima; the range is asked for at opening. Of another instrument nothing is known: 1 % is assumed, and the
detail says so.
"""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable, Iterator
from threading import Event

from edgemeter_agent.board.root import BoardRoot
from edgemeter_agent.meters import WALL, Description, Meter, MeterError, Reading
from edgemeter_agent.meters.address import split_address
from edgemeter_agent.meters.pacing import paced
from edgemeter_agent.meters.patience import PATIENCE_S, Patience
from edgemeter_agent.meters.scpi_link import Link, LinkFault, SocketLink, VisaLink
from edgemeter_agent.meters.spec import Spec

TIMEOUT_S = 2.0
GENERIC_QUERY = "MEAS:POW?"
GENERIC_RATE_HZ = 10.0
GENERIC_GAIN_ERROR = 0.01
GENERIC_RESOLUTION_MW = 1.0
MAX_WATTS = 1e6

YOKOGAWA_GAIN = 0.001 / math.sqrt(3)
YOKOGAWA_OF_RANGE = 0.0005 / math.sqrt(3)
YOKOGAWA_DIGITS = 1e5
"""Steps of a full range that its five digits tell apart."""
INFINITY, NO_NUMBER = 9.9e37, 9.91e37
"""What stands for them in SCPI 1999 (7.2.1.4 and 7.2.1.5)."""

_VISA_SOCKET = re.compile(r"TCPIP\d*::([^:]+|\[[^\]]+\])::(\d+)::SOCKET", re.IGNORECASE)
_VISA = re.compile(
    r"[A-Za-z]+[0-9]*(/[\w./-]+)?::.+::(INSTR|RAW|SOCKET)|ASRL[\w./-]+(::INSTR)?", re.IGNORECASE
)


class ScpiMeter:
    """See meters.Meter."""

    def __init__(self, spec: Spec, link: Link, patience_s: float = PATIENCE_S) -> None:
        """Sets the instrument up. Raises MeterError; the link is closed then."""
        self._link = link
        self._name = spec.name
        self._patience = Patience(spec.name, patience_s)
        try:
            self._set_up(spec)
        except LinkFault as fault:
            link.close()
            raise MeterError("meter_unreachable", f"{spec.name}: {fault.detail}") from None
        except MeterError:
            link.close()
            raise

    @property
    def alignment_ns(self) -> float:
        """Standard uncertainty of the stamps: the age of a value is spread evenly over an update."""
        return 1e9 * self._update_s / math.sqrt(12)

    def readings(self, stop: Event) -> Iterator[Reading]:
        return paced(self.read, self.description.rate_hz, stop)

    def close(self) -> None:
        self._link.close()

    def read(self) -> Reading:
        """One reading, now. Raises MeterError."""
        before_ns = time.monotonic_ns()
        try:
            answer = self._link.query(self._query)
            watts = watts_of(answer)
        except LinkFault as fault:
            self._patience.failed("meter_rubbish" if fault.code == "rubbish" else "meter_gone", fault.detail)
            return Reading(monotonic_ns=time.monotonic_ns(), total_mw=None, fault=fault.code)
        self._patience.succeeded()
        # Mean age half an update, and the middle of the update that was averaged.
        stamp_ns = (before_ns + time.monotonic_ns()) // 2 - round(1e9 * self._update_s)
        return Reading(monotonic_ns=stamp_ns, total_mw=1000 * watts)

    def _set_up(self, spec: Spec) -> None:
        identity = self._link.query("*IDN?")
        usual = "yokogawa" if "yokogawa" in identity.lower() else "generic"
        if spec.choice("dialect", ("yokogawa", "generic"), usual) == "yokogawa":
            self._set_up_yokogawa(spec, identity)
        else:
            self._set_up_generic(spec, identity)

    def _set_up_yokogawa(self, spec: Spec, identity: str) -> None:
        element = spec.whole("channel", 1, 1, 7)
        for command in (
            ":COMMUNICATE:HEADER OFF",
            ":NUMERIC:FORMAT ASCII",
            ":NUMERIC:NORMAL:NUMBER 1",
            f":NUMERIC:NORMAL:ITEM1 P,{element}",
        ):
            self._link.write(command)
        self._query = ":NUMERIC:NORMAL:VALUE?"
        self._update_s = self._number(":RATE?", 0.001, 60)
        range_w = self._number(":INPUT:VOLTAGE:RANGE?", 0, 1e5) * self._number(
            ":INPUT:CURRENT:RANGE?", 0, 1e4
        )
        self._describe(
            spec,
            rate_hz=1 / self._update_s,
            gain_error=YOKOGAWA_GAIN,
            offset_mw=1000 * YOKOGAWA_OF_RANGE * range_w,
            resolution_mw=1000 * range_w / YOKOGAWA_DIGITS,
            detail=f"{identity[:80]}, element {element}, range {range_w:g} W, update {self._update_s:g} s",
        )

    def _set_up_generic(self, spec: Spec, identity: str) -> None:
        self._query = spec.options.get("query", GENERIC_QUERY)
        rate_hz = spec.number("rate_hz", GENERIC_RATE_HZ, 0.01, 100)
        # When it measures, only the instrument knows; a question may start it.
        self._update_s = 0.0
        unstated = "" if "gain_error" in spec.options else "; gain error not stated: 1 % assumed"
        self._describe(
            spec,
            rate_hz=rate_hz,
            gain_error=GENERIC_GAIN_ERROR,
            offset_mw=0.0,
            resolution_mw=GENERIC_RESOLUTION_MW,
            detail=f"{identity[:80]}, {self._query}{unstated}",
        )
        try:
            watts_of(self._link.query(self._query))
        except LinkFault as fault:
            if fault.code in ("rubbish", "timeout"):
                raise MeterError(
                    "meter_rubbish", f"{self._name}: {self._query}: {fault.detail}; ?query= asks for another"
                ) from None
            raise

    def _describe(
        self,
        spec: Spec,
        *,
        rate_hz: float,
        gain_error: float,
        offset_mw: float,
        resolution_mw: float,
        detail: str,
    ) -> None:
        self.description = spec.described(
            Description(
                name=spec.name,
                kind="scpi",
                coverage=WALL,
                rails=(),
                rate_hz=min(spec.number("rate_hz", rate_hz, 0.01, 100), rate_hz),
                resolution_mw=resolution_mw,
                gain_error=gain_error,
                offset_error_mw=offset_mw,
                lag_s=0.0,
                has_counter=False,
                detail=detail,
            )
        )

    def _number(self, query: str, low: float, high: float) -> float:
        """A setting of the instrument. Raises LinkFault and MeterError."""
        answer = self._link.query(query)
        try:
            # With headers on there is a word before it.
            value = float(answer.rsplit(None, 1)[-1]) if answer else math.nan
        except ValueError:
            value = math.nan
        if not low <= value <= high:
            raise MeterError("meter_rubbish", f"{self._name}: it answers {answer[:80]!r} to {query}")
        return value


def watts_of(answer: str) -> float:
    """Watts from what an instrument answers.

    Raises LinkFault: "no_data" and "over_range" as the instrument says it, "rubbish" for what is no number.
    """
    word = answer.rsplit(None, 1)[-1].partition(",")[0] if answer else ""
    try:
        value = float(word)
    except ValueError:
        raise LinkFault("rubbish", f"it answers {answer[:80]!r}") from None
    if math.isnan(value) or value == NO_NUMBER:
        raise LinkFault("no_data", "it has no data")
    if abs(value) >= INFINITY:
        raise LinkFault("over_range", "the power is beyond its range")
    if abs(value) > MAX_WATTS:
        raise LinkFault("rubbish", f"it answers {answer[:80]!r} watts")
    return value


def prepare(spec: Spec, _board: BoardRoot) -> Callable[[], Meter]:
    spec.choice("dialect", ("yokogawa", "generic"), "generic")
    spec.whole("channel", 1, 1, 7)
    spec.number("rate_hz", 1, 0.01, 100)
    plain = _VISA_SOCKET.fullmatch(spec.target)
    if plain is None and "::" in spec.target:
        if _VISA.fullmatch(spec.target) is None:
            raise spec.wrong("that is no VISA resource; one ends in ::INSTR, ::SOCKET or ::RAW")
        return lambda: ScpiMeter(spec, VisaLink(spec.target, TIMEOUT_S))
    try:
        address = split_address(f"{plain[1]}:{plain[2]}" if plain else spec.target)
    except ValueError as error:
        raise spec.wrong(str(error)) from None
    return lambda: ScpiMeter(spec, SocketLink(*address, TIMEOUT_S))
