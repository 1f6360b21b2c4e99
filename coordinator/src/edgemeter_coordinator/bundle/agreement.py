"""Which numbers of a study came out again. Pure.

Two measurements of one thing agree where their 95 % intervals meet. That is the cautious reading of "within
both intervals": of two honest intervals of equal width one pair in 180 does not meet, while one value in six
is outside of the other's interval: with the hundred numbers of a study, no repetition would ever be one.

Where only one number has an interval the other must lie in it; where neither has, they may differ by 1 %. A
size has none, and may differ by 0.5 %: another version of a tool writes a few bytes more.

Times and energy of a void verdict can't be told; what a variant answers is the same on a busy board. Latency,
and ratios of it, are a board's own: they are not held against those of another kind of board, or of another
runtime; energy not against another meter's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

from edgemeter_coordinator.bundle.numbers import ANYWHERE, METER, Measured, Number, same_kind
from edgemeter_coordinator.report.intervals import Interval, meet
from edgemeter_protos.v1 import lab_pb2

SIZE_TOLERANCE = 0.005
TOLERANCE = 0.01
"""Of numbers without an interval, relative."""


class Says(Enum):
    AGREES = "agrees"
    DIFFERS = "differs"
    # There then, and not now.
    MISSING = "missing"
    CANNOT_TELL = "cannot tell"
    NOT_COMPARED = "not compared"


@dataclass(frozen=True, kw_only=True, slots=True)
class Compared:
    """One number, then and now.

    Attributes:
        device: name of the board that repeated it.
        why: what `says` follows from, where it is not the intervals.
    """

    recipe: str
    device: str
    name: str
    then: Number
    now: Number | None
    says: Says
    why: str = ""


def repeats(compared: Sequence[Compared]) -> bool:
    """Whether the study came out again: something agrees, nothing differs, and nothing is missing."""
    said = {each.says for each in compared}
    return Says.AGREES in said and not said & {Says.DIFFERS, Says.MISSING}


def compare(
    then: Sequence[Measured],
    now: Sequence[Measured],
    boards_then: Mapping[str, lab_pb2.Device],
    boards_now: Mapping[str, lab_pb2.Device],
) -> list[Compared]:
    """Every number of each board now, beside that of the board then that is most like it.

    Args:
        boards_then, boards_now: by id.
    """
    found = []
    results_now = {(each.device_id, each.recipe): each for each in now}
    for board in boards_now.values():
        like = _most_like(board, list(boards_then.values()))
        if like is None:
            continue
        for each in then:
            if each.device_id == like.id:
                found += _of_variant(each, results_now.get((board.id, each.recipe)), like, board)
    return found


def changed_tools(then: lab_pb2.Study, now: lab_pb2.Study) -> list[str]:
    """Tools that built the variants by another version: "keras 3.13.0 then, 3.14.1 now"."""
    before, after = _versions(then), _versions(now)
    return [
        f"{tool} {', '.join(sorted(before[tool]))} then, {', '.join(sorted(after[tool]))} now"
        for tool in sorted(before.keys() & after.keys())
        if before[tool] != after[tool]
    ]


def _versions(study: lab_pb2.Study) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for variant in study.variants:
        for tool, version in variant.manifest.tool_versions.items():
            found.setdefault(tool, set()).add(version)
    return found


def agrees(then: Number, now: Number) -> bool:
    """Whether two values of one number may be the same."""
    if then.name == "size_bytes":
        return abs(then.value - now.value) <= SIZE_TOLERANCE * max(then.value, now.value)
    one, other = _interval(then), _interval(now)
    if one is None and other is None:
        return abs(then.value - now.value) <= TOLERANCE * max(abs(then.value), abs(now.value))
    return meet(one or (then.value, then.value), other or (now.value, now.value))


def _interval(number: Number) -> Interval | None:
    return None if number.low is None or number.high is None else (number.low, number.high)


def _most_like(board: lab_pb2.Device, others: Sequence[lab_pb2.Device]) -> lab_pb2.Device | None:
    """Itself, else one of the same kind, of the same name at best; else any."""

    def likeness(other: lab_pb2.Device) -> tuple[bool, bool, bool]:
        return other.id == board.id, same_kind(other.facts, board.facts), other.name == board.name

    return max(others, key=likeness, default=None)


def _of_variant(
    then: Measured, now: Measured | None, board_then: lab_pb2.Device, board_now: lab_pb2.Device
) -> list[Compared]:
    numbers_now = {} if now is None else {number.name: number for number in now.numbers}
    compared = []
    for number in then.numbers:
        again = numbers_now.get(number.name)
        says, why = _judged(number, again, then, now, board_then, board_now)
        compared.append(
            Compared(
                recipe=then.recipe,
                device=board_now.name,
                name=number.name,
                then=number,
                now=again,
                says=says,
                why=why,
            )
        )
    return compared


def _judged(
    number: Number,
    again: Number | None,
    then: Measured,
    now: Measured | None,
    board_then: lab_pb2.Device,
    board_now: lab_pb2.Device,
) -> tuple[Says, str]:
    if now is None:
        return Says.MISSING, "the variant was not measured"
    if number.where != ANYWHERE:
        elsewhere = _elsewhere(number, then, now, board_then, board_now)
        if elsewhere:
            return Says.NOT_COMPARED, elsewhere
        for when, verdict in (("then", then.verdict), ("now", now.verdict)):
            if verdict == "void":
                return Says.CANNOT_TELL, f"the verdict {when} is void"
    if again is None:
        return Says.MISSING, "it was not measured"
    if number.samples != again.samples:
        return Says.NOT_COMPARED, f"over {number.samples:,} samples then, {again.samples:,} now"
    return (Says.AGREES, "") if agrees(number, again) else (Says.DIFFERS, "")


def _elsewhere(
    number: Number, then: Measured, now: Measured, board_then: lab_pb2.Device, board_now: lab_pb2.Device
) -> str:
    """Why two boards' numbers are not held against each other; empty where they are."""
    if board_now.facts.emulated or board_then.facts.emulated:
        return "an emulated board's times mean nothing"
    if not same_kind(board_then.facts, board_now.facts):
        return f"another kind of board: {board_then.facts.board} then, {board_now.facts.board} now"
    if then.runtime != now.runtime:
        return f"another runtime: {then.runtime} then, {now.runtime} now"
    if number.where == METER and then.meter != now.meter:
        return f"another meter: {then.meter or 'none'} then, {now.meter or 'none'} now"
    return ""
