"""Plan files: a measurement plan as TOML, beside the models that it is for.

    profile = "standard"
    scenario = "server"
    target_qps = 50
    blocks = 6
    min_duration = "2s"
    affinity_cpus = [2, 3]

Keys are what `plans.resolve` takes, and `profile`. There are no tables.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

from edgemeter_protos import plans
from edgemeter_protos.durations import format_duration
from edgemeter_protos.v1 import plan_pb2

MAX_BYTES = 16_384
"""A plan with every field takes about 1,000."""


def read(path: str | os.PathLike[str]) -> tuple[str | None, dict[str, plans.Value]]:
    """The profile (None where the file names none) and what it replaces, by the names of the message Plan:
    what `plans.resolve` takes.

    Each value is checked by itself; what contradicts each other is for `resolve`, when all that replaces is
    known. Raises ValueError, one line that names the file, and the key where it is one's.
    """
    try:
        with Path(path).open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:  # ValueError: a name with a zero byte
        raise ValueError(f"{os.fspath(path)}: {getattr(error, 'strerror', None) or error}") from None
    if len(content) > MAX_BYTES:
        raise ValueError(f"{os.fspath(path)} is larger than {MAX_BYTES} bytes: it is no plan")
    try:
        text = content.decode()
    except UnicodeDecodeError as error:
        raise ValueError(f"{os.fspath(path)} is no text in UTF-8: byte {error.start} is none") from None
    return parse(text, os.fspath(path))


def parse(text: str, source: str = "the plan") -> tuple[str | None, dict[str, plans.Value]]:
    """As `read`, of a file's text; `source` is what messages call it."""
    loads = _toml_loads()
    try:
        table = loads(text)
    except (ValueError, RecursionError) as error:
        # The first line: a whole number of too many digits has no position, and brackets without end neither.
        told = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ValueError(f"{source} is no TOML: {told}") from None
    profile = table.pop("profile", None)
    if profile is not None and profile not in list(plans.PROFILES):
        raise ValueError(
            f"{source}: no profile is called {plans.shown(profile)}; there are {', '.join(plans.PROFILES)}"
        )
    for key, value in table.items():
        if isinstance(value, dict):
            raise ValueError(
                f"{source}: {plans.shown(key)} is a table, and a plan has none: write its keys at the top"
            )
    try:
        return profile, plans.normalized(table)
    except ValueError as error:
        raise ValueError(f"{source}: {error}") from None


def to_toml(plan: plan_pb2.Plan) -> str:
    """A plan file that says all of a resolved plan: `resolve(*parse(…))` gives the same plan again."""
    lines = [f"profile = {_quoted(plan.profile)}"]
    for field in plan_pb2.Plan.DESCRIPTOR.fields:
        value: Any = getattr(plan, field.name)
        if field.name == "profile":
            continue
        if field.name == "scenario":
            lines.append(f"scenario = {_quoted(plans.scenario_name(value))}")
        elif field.name == "affinity_cpus":
            lines.append(f"affinity_cpus = {list(value)}")
        elif field.name.endswith("_ns"):
            lines.append(f"{field.name.removesuffix('_ns')} = {_quoted(format_duration(value))}")
        elif isinstance(value, bool):
            lines.append(f"{field.name} = {'true' if value else 'false'}")
        elif isinstance(value, str):
            lines.append(f"{field.name} = {_quoted(value)}")
        else:
            # Python's shortest text of a float is TOML's too: there are no infinities in a plan.
            lines.append(f"{field.name} = {value!r}")
    return "\n".join(lines) + "\n"


def _quoted(text: str) -> str:
    """JSON's escapes are TOML's, for texts that can be printed."""
    return json.dumps(text, ensure_ascii=False)


def _toml_loads() -> Callable[[str], dict[str, Any]]:
    """Python's own from 3.11 on."""
    for name in ("tomllib", "tomli"):
        try:
            loads: Callable[[str], dict[str, Any]] = import_module(name).loads
        except ModuleNotFoundError:
            continue
        return loads
    raise ValueError("this Python reads no TOML: use Python 3.11 or newer, or pip install tomli")
