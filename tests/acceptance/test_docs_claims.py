"""What the documentation claims of the source is so: verdict codes, thresholds, profiles, error lines."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

from edgemeter_agent import verdict
from edgemeter_agent.conditions import doubts, judge, settle
from edgemeter_agent.energy import judge as readings
from edgemeter_agent.energy import sampler, summary
from edgemeter_agent.engine import harness_phase, job, sizing, window
from edgemeter_converters.formats import FORMATS, Options
from edgemeter_coordinator.service import study_view
from edgemeter_protos import plans
from tests.acceptance.test_docs import blocks_of

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PACKAGES = [ROOT / name / "src" for name in ("protos", "converters", "coordinator", "agent")]


# measuring.md


def rows_of(page: Path) -> list[list[str]]:
    """The cells of all table rows of a page."""
    lines = [line for line in page.read_text().splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def module_codes(module_file: str | None) -> set[str]:
    """Strings in lower case that a module gives a name in capitals."""
    assert module_file
    return {
        statement.value.value
        for statement in ast.parse(Path(module_file).read_text()).body
        if isinstance(statement, ast.Assign)
        and isinstance(statement.value, ast.Constant)
        and isinstance(statement.value.value, str)
        and re.fullmatch(r"[a-z0-9_]+", statement.value.value)
    }


def engine_codes() -> set[str]:
    """Codes that the engine fails a variant with: the first of a failure's pair, or of a call that raises."""
    found = set[str]()
    for path in Path(job.__file__).parent.glob("*.py"):
        found |= {code for code in module_codes(str(path)) if path.name == "variant_process.py"}
        for node in ast.walk(ast.parse(path.read_text())):
            first: ast.expr | None = None
            if isinstance(node, ast.Assign) and isinstance(node.value, ast.Tuple):
                named = [target.attr for target in node.targets if isinstance(target, ast.Attribute)]
                first = node.value.elts[0] if {"failure", "evaluation_failure"} & set(named) else None
            elif isinstance(node, ast.Call):
                called = getattr(node.func, "id", getattr(node.func, "attr", ""))
                first = node.args[0] if called in ("VariantError", "_ask") and node.args else None
            if isinstance(first, ast.Constant):
                found.add(str(first.value))
    return found


def test_every_verdict_code_is_documented() -> None:
    in_source = module_codes(judge.__file__) | module_codes(verdict.__file__) | engine_codes()
    in_source |= module_codes(doubts.__file__) | module_codes(summary.__file__)
    in_source.add(study_view.UNSCORED)
    # Costs the operators, and is said there (operators.unavailable), not in the verdict.
    in_source.discard("profile_failed")
    states = ("void", "degraded", "note", "void or degraded")
    documented = {
        code
        for row in rows_of(DOCS / "measuring.md")
        if len(row) == 3 and row[1] in states
        for code in re.findall(r"`([a-z0-9_]+)`", row[0])
    }
    assert documented == in_source


def test_every_reason_to_disbelieve_a_meter_is_documented() -> None:
    in_source = module_codes(readings.__file__) | module_codes(sampler.__file__)
    documented = {
        code for row in rows_of(DOCS / "energy.md") for code in re.findall(r"^`(meter_[a-z_]+)`$", row[0])
    }
    assert documented >= in_source


def test_conditions_that_void_a_block_are_documented() -> None:
    rows = [row for row in rows_of(DOCS / "measuring.md") if len(row) == 4 and row[1] not in ("quick", "---")]
    documented = {code for row in rows for code in re.findall(r"^`([a-z_]+)`$", row[0])}
    assert documented >= module_codes(judge.__file__)
    assert documented <= module_codes(judge.__file__) | set(plans.resolve("quick").DESCRIPTOR.fields_by_name)


NUMERALS = ("no", "one", "two", "three", "four", "five")

THRESHOLDS = {
    "waiting": f"more than {judge.MAX_WAITING_SHARE:.0%} of the block, a thread",
    "pressure": f"more than {judge.MAX_PRESSURE_SHARE:.0%} of the block |",
    "switches": f"more than {judge.MAX_SWITCHES_PER_S:.0f} a second, a thread",
    "others": f"more than {judge.MAX_SPARE_SHARE:.0%} of the spare cores",
    "others without spare cores": f"or {judge.MAX_OTHERS_SHARE:.0%} of all where none is spare",
    "steal": f"more than {judge.MAX_STEAL_SHARE:.0%} of the time that processors wanted",
    "frequency": f"more than {judge.MAX_FREQUENCY_CHANGE:.0%} apart",
    "interval": f"wider than {verdict.MAX_INTERVAL_SHARE:.0%} of p50",
    "p99": f"{verdict.P99_MIN_SAMPLES} samples",
    "cool": f"below {settle.COOL_MILLICELSIUS // 1000} °C",
    "memory": f"do not fit into {sizing.MEMORY_SHARE:.0%} of the",
    "batches": f"more than 1/{sizing.OVERHEAD_FACTOR} of a",
    "null loop": f"{harness_phase.SAMPLES:,} queries",
    "rewarm": f"{NUMERALS[window.REWARM_QUERIES]} untimed queries",
}


@pytest.mark.parametrize("name", THRESHOLDS)
def test_thresholds_are_those_of_the_source(name: str) -> None:
    text = " ".join((DOCS / "measuring.md").read_text().split())
    assert THRESHOLDS[name].replace("%", " %") in text


UNITS_NS = {"ms": 10**6, "s": 10**9, "min": 60 * 10**9, "h": 3600 * 10**9}


def number(cell: str) -> int:
    """Of "64" or of "250 ms", in nanoseconds."""
    value, _, unit = cell.partition(" ")
    return int(value) * (UNITS_NS[unit] if unit else 1)


def test_profiles_are_those_of_the_source() -> None:
    table = {
        row[0].split("`")[1]: dict(
            zip(("quick", "standard", "publication"), map(number, row[1:]), strict=True)
        )
        for row in rows_of(DOCS / "measuring.md")
        if len(row) == 4 and re.fullmatch(r"\d+( \w+)?", row[1])
    }
    texts = {"profile", "scenario", "affinity_cpus", "accelerator", "require_energy", "meter"}
    fields = set(plans.resolve("quick").DESCRIPTOR.fields_by_name) - texts
    assert set(table) == fields
    for name, profiles in table.items():
        assert profiles == {profile: getattr(plans.resolve(profile), name) for profile in plans.PROFILES}, (
            name
        )


# trouble.md


@cache
def said_in_source() -> str:
    """Every text of the source, "…" standing for what is put in."""
    texts: list[str] = []
    for package in PACKAGES:
        for path in package.rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Constant) and isinstance(node.value, str):
                    texts.append(node.value)
                elif isinstance(node, ast.JoinedStr):
                    texts.append("".join(spoken(part) for part in node.values))
    return "\n".join(texts)


def spoken(part: ast.expr) -> str:
    return str(part.value) if isinstance(part, ast.Constant) else "…"


QUOTED = [
    line
    for block in blocks_of(DOCS / "trouble.md")
    if block.language == "text"
    for line in block.text.split("\n")
]


@pytest.mark.parametrize("message", QUOTED)
def test_quoted_errors_are_said_by_the_source(message: str) -> None:
    assert message in said_in_source()


def test_remedies_are_for_codes_that_exist() -> None:
    known = {code for row in rows_of(DOCS / "measuring.md") for code in re.findall(r"`([a-z0-9_]+)`", row[0])}
    remedies = {
        code
        for row in rows_of(DOCS / "trouble.md")
        if len(row) == 2
        for code in re.findall(r"`([a-z0-9_]+)`", row[0])
    }
    assert remedies
    assert remedies <= known


# formats.md


def test_formats_are_listed_with_their_runtimes() -> None:
    listed: dict[str, set[tuple[str, str]]] = {}
    name = ""
    for cells in rows_of(DOCS / "formats.md"):
        if len(cells) != 6 or not cells[4].startswith("`"):
            continue
        name = cells[0].strip("`") or name
        # "any" is no lowest version.
        versions = re.findall(r"[0-9]+\.[0-9]+\.[0-9]+", cells[5]) or [""]
        listed.setdefault(name, set()).update((cells[4].strip("`"), version) for version in versions)
    stated = {
        format_.name: {
            (need.runtime, need.min_version)
            for framework in format_.frameworks
            for precision in format_.precisions
            if not format_.refusal(framework, precision, Options())
            for need in format_.runtimes(framework, precision, Options())
        }
        for format_ in FORMATS.values()
    }
    # Only compared with, on the coordinator.
    assert stated.pop("torch-llm") == set()
    assert listed == stated
