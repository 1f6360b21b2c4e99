"""Runs every benchmark, prints its figures and writes docs/benchmarks.md.

python tests/benchmarks/run.py [NAME ...]      only these; docs/benchmarks.md is left alone
"""

from __future__ import annotations

import datetime
import importlib
import json
import sys
from dataclasses import asdict
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from tests.benchmarks.figures import Figure, machine  # noqa: E402

BENCHMARKS = (
    "overhead",
    "beside_loadgen",
    "beside_litert",
    "push",
    "idle_agent",
    "simulations",
    "energy",
    "conversion",
)


def main(names: list[str]) -> int:
    unknown = set(names) - set(BENCHMARKS)
    if unknown:
        print(
            f"no such benchmark: {', '.join(sorted(unknown))}; there are {', '.join(BENCHMARKS)}",
            file=sys.stderr,
        )
        return 2
    figures: dict[str, list[Figure]] = {}
    for name in names or BENCHMARKS:
        print(f"{name} …", file=sys.stderr, flush=True)
        figures[name] = importlib.import_module(f"tests.benchmarks.{name}").measure()
        for figure in figures[name]:
            print(json.dumps(asdict(figure)), flush=True)
    if not names:
        (ROOT / "docs" / "benchmarks.md").write_text(page(figures))
    return 0


def page(figures: dict[str, list[Figure]]) -> str:
    """docs/benchmarks.md."""
    lines = [
        "# Benchmarks",
        "",
        "Written by `make bench`. Each line was measured in one run with its peer, in turn: the ratio holds",
        "on other machines, the absolute figures do not.",
        "",
        f"{datetime.datetime.now(tz=datetime.UTC):%Y-%m-%d}: {machine()}.",
    ]
    for name, rows in figures.items():
        about = (importlib.import_module(f"tests.benchmarks.{name}").__doc__ or name).strip()
        lines += ["", f"## {name.replace('_', ' ')}", "", about, ""]
        lines += ["| what | ours | peer | ratio | target | met |", "|---|---|---|---|---|---|"]
        lines += [row(figure) for figure in rows]
        lines += [f"\n{figure.what}: {figure.note}" for figure in rows if figure.note]
    return "\n".join(lines) + "\n"


def row(figure: Figure) -> str:
    peer = "-" if figure.peer is None else f"{figure.peer:.3g} {figure.unit} ({figure.peer_name})"
    ratio = "-" if figure.ratio is None else f"{figure.ratio:.2f}"
    met = {True: "yes", False: "**no**", None: "-"}[figure.met]
    return f"| {figure.what} | {figure.ours:.3g} {figure.unit} | {peer} | {ratio} | {figure.target} | {met} |"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
