"""Which row a user means by a name, a digest or an id, or the start of one. Pure."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Sequence
from typing import Protocol, TypeVar

from edgemeter_coordinator.refusal import Refused
from edgemeter_protos.v1 import refusal_pb2

NAMED_IN_ERRORS = 5


class Named(Protocol):
    @property
    def name(self) -> str: ...


N = TypeVar("N", bound=Named)


def pick(
    reference: str,
    found: Sequence[N],
    *,
    noun: str,
    key: Callable[[N], str],
    names: Callable[[], Iterable[str]],
) -> N:
    """The one of `found` that `reference` means: its name before all, else the start of its key.

    `found` has those whose name is `reference` or whose key starts with it; `names` is asked for all
    names there are where nothing fits.

    Raises Refused: BAD_REQUEST where none is named or several fit, NOT_FOUND.
    """
    if not reference:
        hint = ": give one with --data" if noun == "dataset" else ""
        raise Refused(refusal_pb2.REFUSAL_REASON_BAD_REQUEST, f"no {noun} is named{hint}")
    exact = [each for each in found if reference in (each.name, key(each))]
    fitting = exact[:1] or found
    if len(fitting) == 1:
        return fitting[0]
    if fitting:
        shown = ", ".join(f"{key(each)[:16]} ({each.name})" for each in fitting[:NAMED_IN_ERRORS])
        more = ", …" if len(fitting) > NAMED_IN_ERRORS else ""
        raise Refused(
            refusal_pb2.REFUSAL_REASON_BAD_REQUEST,
            f"{noun} {reference!r} may be any of {shown}{more}: write more of it",
        )
    near = difflib.get_close_matches(reference, list(names()), n=1)
    hint = f"did you mean {near[0]!r}? " if near else ""
    command = "data" if noun == "dataset" else noun
    raise Refused(
        refusal_pb2.REFUSAL_REASON_NOT_FOUND,
        f"there is no {noun} {reference!r}: {hint}`edgemeter {command} ls` lists what there is",
    )
