"""`edgemeter demo`: the whole way on this machine."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated

import typer

from edgemeter_coordinator.cli.completion import complete_profile
from edgemeter_coordinator.cli.output import AsJson, example, note, print_comparison, print_json
from edgemeter_coordinator.cli.progress import Bars, Step, study_steps

if TYPE_CHECKING:
    from edgemeter_protos.v1 import lab_pb2

EXAMPLE = example("edgemeter demo --state demo --profile quick")


class DemoScreen:
    """Bars and lines on stderr."""

    def __init__(self, bars: Bars) -> None:
        self._bars = bars

    def say(self, line: str) -> None:
        self._bars.say(line)

    def step(self, label: str, fraction: float | None, detail: str = "") -> None:
        milestone = detail if label == "train" else ""
        self._bars.show([Step(key=label, label=label, fraction=fraction, detail=detail, milestone=milestone)])

    def study(self, study: lab_pb2.Study) -> None:
        self._bars.show(study_steps(study))


def demo(
    state: Annotated[
        Path, typer.Option(metavar="DIR", help="Everything is kept here, and reused the next time.")
    ] = Path("demo"),
    profile: Annotated[
        str,
        typer.Option(
            metavar="quick|standard|publication",
            help="How long and how often to measure.",
            autocompletion=complete_profile,
        ),
    ] = "standard",
    as_json: AsJson = False,
) -> None:
    """Trains a digit classifier, compresses it five ways and measures it, on this machine.

    Starts a coordinator and an agent that talk mutual TLS on loopback, and stops them again. Writes
    DIR/results.json.
    """
    from edgemeter_coordinator.demo.run import run
    from edgemeter_coordinator.report import export
    from edgemeter_coordinator.sdk.plan import resolve_plan

    resolve_plan(profile, {})
    with _ended_like_ctrl_c(), Bars() as bars:
        responses, path = run(state, profile=profile, screen=DemoScreen(bars))
    if as_json:
        print_json(export.exported(responses))
    else:
        print_comparison(responses, title="digits on this machine")
    note(f"results: {path}")


@contextmanager
def _ended_like_ctrl_c() -> Iterator[None]:
    """A SIGTERM or a closed terminal ends what was started, as Ctrl-C does."""

    def interrupt(_signal: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = {number: signal.signal(number, interrupt) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
