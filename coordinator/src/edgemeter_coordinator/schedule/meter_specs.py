"""What a user may attach as a meter: the shape of its text, "KIND:TARGET?option=value&…". Whether there is
such a meter, and what its options mean, only the agent that is to read it can tell. Pure."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping

SPEC_CHARACTERS = 1000
MOST_METERS = 8
"""Attached to one board: it reads one of them at a time, but looks at all."""

KINDS: Mapping[str, str] = {
    "exec": "exec:PROGRAM",
    "remote": "remote:HOST:PORT",
    "joulescope": "joulescope:SERIAL",
    "ina226": "ina226:BUS:ADDR?shunt_mohm=R",
    "ina228": "ina228:BUS:ADDR?shunt_mohm=R",
    "ina260": "ina260:BUS:ADDR",
    "shelly": "shelly:HOST",
    "tasmota": "tasmota:HOST",
    "scpi": "scpi:RESOURCE",
}
"""Kind -> what its text looks like. The agent has a meter of each name."""

WITHOUT_TARGET = frozenset({"joulescope"})
"""The only one on the board's USB needs no serial number."""

_SECRET = re.compile(r"(?<=[?&])(token|password)=[^&]*")


def shown(spec: str) -> str:
    """Without what it holds of secrets: "remote:HOST:PORT?token=***"."""
    return _SECRET.sub(r"\1=***", spec)


def spec_problem(spec: str) -> str | None:
    """What is wrong with a meter's text, in one line that tells no secret; None where its shape is right."""
    kind, colon, rest = spec.partition(":")
    target = rest.partition("?")[0]
    if len(spec) > SPEC_CHARACTERS or not spec.isprintable() or spec != spec.strip():
        return f"{kind[:40]!r}… is no meter: at most {SPEC_CHARACTERS} printable characters"
    if kind not in KINDS:
        near = difflib.get_close_matches(kind, KINDS, n=1)
        hint = f"did you mean {KINDS[near[0]]}?" if near else f"there are {', '.join(KINDS.values())}"
        return f"{shown(spec)[:80]!r} is no meter that can be attached: {hint}"
    if not colon or not (target or kind in WITHOUT_TARGET):
        return f"{shown(spec)[:80]!r} lacks what comes after the kind: write {KINDS[kind]}"
    if kind == "remote" and not _is_host_and_port(target):
        return f"{kind}:{target[:80]} has no port: write {KINDS[kind]}, as `edgemeter-agent meter serve` says"
    return None


def _is_host_and_port(text: str) -> bool:
    host, _, port = text.rpartition(":")
    return bool(host) and port.isascii() and port.isdigit() and 0 < int(port[:6]) < 2**16
