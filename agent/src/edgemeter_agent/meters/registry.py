"""Which meters there are, and which is meant by a name. The one place where meters are listed.

Finding meters reads names, labels and settings but no power, except that the Raspberry Pi 5's rails have no
list but their readings. Nothing here imports numpy.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from edgemeter_agent.board.root import BoardRoot
from edgemeter_agent.meters import (
    COVERAGE_ORDER,
    PACKAGE,
    Meter,
    MeterError,
    Unusable,
    battery,
    calibration,
    hwmon,
    ina238,
    ina3221_hwmon,
    ina3221_iio,
    pi5_pmic,
    rapl,
)
from edgemeter_protos.v1 import device_pb2

Found = Meter | Unusable

FINDERS: dict[str, Callable[[BoardRoot], list[Found]]] = {
    "ina238": ina238.find,
    "ina3221": ina3221_hwmon.find,
    "ina3221 (JetPack 4)": ina3221_iio.find,
    "pmic": pi5_pmic.find,
    "battery": battery.find,
    "hwmon": hwmon.find,
    "rapl": rapl.find,
}
"""By kind: what finds the meters that are on a board. External ones are opened by `meters.spec`."""

ONLY = "only "
"""How the coverage of a meter begins that sees a part of the board, and nobody here knows which."""


def find(board: BoardRoot, specs: Sequence[str] = (), calibrations_dir: Path | None = None) -> list[Found]:
    """The meters of the specs ("exec:PROGRAM", "remote:HOST:PORT", …) and of this board, the widest
    coverage first and those that can't be used last.

    Whoever calls closes what it is given. Meters with a calibration are corrected by it. Raises nothing.
    """
    found = [_opened(text, board) for text in specs]
    for kind, find_kind in FINDERS.items():
        try:
            found += find_kind(board)
        except (OSError, ValueError) as error:
            found.append(Unusable(name=kind, reason=str(error)))
    found = [with_calibration(each, calibrations_dir) for each in _distinct(found)]
    return sorted(found, key=_rank)


def choose(found: Sequence[Found], wanted: str) -> Meter | None:
    """The meter of that name or spec; for "" the widest, and None where there is none.

    Raises MeterError for one that is not there or not usable.
    """
    wanted = name_of_spec(wanted)
    usable = [each for each in found if not isinstance(each, Unusable)]
    if not wanted:
        return usable[0] if usable else None
    for meter in usable:
        if meter.description.name == wanted:
            return meter
    for each in found:
        if isinstance(each, Unusable) and each.name == wanted:
            reason = each.reason.removeprefix(f"{wanted}: ")
            raise MeterError("meter_unusable", f"meter {wanted} can't be used: {reason}")
    raise MeterError("meter_unknown", f"no meter {wanted} on this board; {_there_is(found)}")


def facts(meter: Meter) -> device_pb2.MeterFacts:
    """What a result and a board say of a meter."""
    said = meter.description
    known = meter.calibration if isinstance(meter, calibration.Calibrated) else None
    return device_pb2.MeterFacts(
        name=said.name,
        coverage=said.coverage,
        kind=said.kind,
        rails=[rail.name for rail in said.rails],
        rate_hz=said.rate_hz,
        resolution_mw=said.resolution_mw,
        gain_error=said.gain_error,
        offset_error_mw=said.offset_error_mw,
        lag_ns=round(said.lag_s * 1e9),
        has_counter=said.has_counter,
        detail=said.detail,
        calibrated_gain=known.gain if known else 1,
        calibrated_offset_mw=known.offset_mw if known else 0,
    )


def close(found: Sequence[Found], but: Meter | None = None) -> None:
    """Closes all meters, but that one."""
    for each in found:
        if not isinstance(each, Unusable) and each is not but:
            each.close()


def why_none(found: Sequence[Found]) -> str:
    """Where no meter can be used: the reasons of those that are there, else ""."""
    return "; ".join(f"{each.name}: {each.reason}" for each in found if isinstance(each, Unusable))


def name_of_spec(text: str) -> str:
    """What the meter of a spec is called, whether it can be opened or not; any other name is itself. Holds no
    secret."""
    if ":" not in text:
        return text
    from edgemeter_agent.meters import spec

    try:
        return spec.parse(text).name
    except ValueError:
        # What follows a question mark may be a token.
        return text.partition("?")[0]


def with_calibration(each: Found, calibrations_dir: Path | None) -> Found:
    """The meter corrected by what is known of it; Unusable where that can't be read."""
    if isinstance(each, Unusable) or calibrations_dir is None:
        return each
    name = each.description.name
    try:
        known = calibration.load(calibrations_dir, name)
    except calibration.CalibrationError as error:
        each.close()
        return Unusable(name=name, reason=str(error))
    return calibration.Calibrated(each, known) if known else each


def _opened(text: str, board: BoardRoot) -> Found:
    # External meters bring clients for the network along, which a board's facts have no use for.
    from edgemeter_agent.meters import spec

    try:
        return spec.open_spec(text, board)
    except (MeterError, ValueError) as error:
        return Unusable(name=name_of_spec(text), reason=str(error))


def _distinct(found: Sequence[Found]) -> list[Found]:
    """A name that is there already can't be asked for: the later of two alike says so."""
    names: set[str] = set()
    kept: list[Found] = []
    for each in found:
        name = name_of(each)
        if name in names and not isinstance(each, Unusable):
            each.close()
            kept.append(Unusable(name=name, reason="another meter has this name"))
        else:
            kept.append(each)
        names.add(name)
    return kept


def name_of(each: Found) -> str:
    return each.name if isinstance(each, Unusable) else each.description.name


def _rank(each: Found) -> int:
    if isinstance(each, Unusable):
        return len(COVERAGE_ORDER) + 3
    coverage = each.description.coverage
    if coverage in COVERAGE_ORDER:
        return COVERAGE_ORDER.index(coverage)
    if coverage == PACKAGE:
        return len(COVERAGE_ORDER) + 1
    return len(COVERAGE_ORDER) + (2 if coverage.startswith(ONLY) else 0)


def _there_is(found: Sequence[Found]) -> str:
    names = [
        f"{name_of(each)} (can't be used: {each.reason})" if isinstance(each, Unusable) else name_of(each)
        for each in found
    ]
    return f"there is {', '.join(names)}" if names else "there is none"
