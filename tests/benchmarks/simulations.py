"""What the statistics promise, counted on simulated boards whose truth is known: false and missed differences
beside a script that measures back to back, the coverage of every interval, and onsets of slowing.

python tests/benchmarks/simulations.py [--runs N] [--json]

Not called statistics.py: beside run.py it would take the place of Python's own module of that name.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from tests.benchmarks.figures import Figure  # noqa: E402
from tests.benchmarks.simulated import coverage, onsets, verdicts  # noqa: E402
from tests.benchmarks.simulated.rows import Row  # noqa: E402

RUNS = 1000


def rows(runs: int) -> Iterator[Row]:
    yield from verdicts.alike(runs)
    yield from verdicts.drifting(runs)
    yield from verdicts.power(runs)
    yield from coverage.ratios(runs)
    yield from coverage.percentiles(runs)
    yield from onsets.rows(runs)


def measure() -> list[Figure]:
    """The verdicts, beside the script's. The other rows have no peer."""
    found = {row.what: row for row in verdicts.alike(RUNS) + verdicts.drifting(RUNS)}
    figures = []
    for ours, peer in (
        ("standard, 2 variants, linear drift of 8 %", "back to back, t-test, linear drift of 8 %"),
        ("standard, linear drift of 8 %: found", "back to back, t-test, linear drift of 8 %: found"),
        ("standard, warming up by 8 %: found", "back to back, t-test, warming up by 8 %: found"),
    ):
        row = found[ours]
        what = f"{row.what}{'' if row.least else ', a difference seen where there is none'}"
        figures.append(
            Figure(
                what=f"{row.group}: {what}",
                unit="% of runs",
                ours=100 * row.rate,
                peer_name="back to back",
                peer=100 * found[peer].rate,
                ratio=None,
                target=">= 90 %" if row.least else "<= 5 %",
                met=row.met,
            )
        )
    return figures


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n", maxsplit=1)[0])
    parser.add_argument("--runs", type=int, default=RUNS)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(arguments)
    missed = 0
    for row in rows(options.runs):
        if options.json:
            found = {**asdict(row), "rate": row.rate, "error": row.error, "met": row.met}
        print(json.dumps(found) if options.json else row.text(), flush=True)
        missed += not (row.met or row.informative)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
