"""Whether boards have what a measurement plan asks of them, before anything runs: meters, accelerators,
processors. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from edgemeter_coordinator.schedule.planning import meets
from edgemeter_coordinator.schedule.selecting import listed
from edgemeter_protos.v1 import device_pb2, plan_pb2, variant_pb2


@dataclass(frozen=True, kw_only=True, slots=True)
class Board:
    """What a board has, as far as plans are concerned."""

    name: str
    facts: device_pb2.DeviceFacts
    # Texts of the meters that users attached.
    attached: Sequence[str] = ()

    @property
    def meters(self) -> list[str]:
        """Names of its own meters, then what was attached."""
        return [*(meter.name for meter in self.facts.meters), *self.attached]


def unmetered(plan: plan_pb2.Plan, chosen: Sequence[Board], every: Sequence[Board]) -> str | None:
    """Why the energy that a plan requires can't be had on `chosen`, in one line; None where it can.

    `every` board is looked at for the line's advice. What an attached meter is called only its board knows,
    so a plan that names a meter is left to boards that have one attached.
    """
    if plan.require_energy:
        without = [board.name for board in chosen if not board.meters]
        if without:
            return f"energy is required, and {_have(without)} no meter; {_advice(every)}"
    if plan.meter:
        for board in chosen:
            if not board.attached and plan.meter not in board.meters:
                there = f"it has {listed(board.meters)}" if board.meters else "it has none"
                return (
                    f"{board.name} has no meter {plan.meter!r}: {there}; `edgemeter meter ls` lists them all"
                )
    return None


def unaccelerated(
    accelerator: str, recipe: str, requirements: Sequence[variant_pb2.RuntimeRequirement], board: Board
) -> str | None:
    """Why a board can't run a recipe's variants on an accelerator, in one line; None where it can, or where
    it is the agent that must find out: one of an earlier edgemeter says of no runtime what it has."""
    if not accelerator:
        return None
    fitting = [
        runtime
        for runtime in board.facts.runtimes
        if any(meets(runtime, requirement) for requirement in requirements)
    ]
    if any(not runtime.accelerators or accelerator in runtime.accelerators for runtime in fitting):
        return None
    there = "; ".join(f"{runtime.name} has {listed(runtime.accelerators)}" for runtime in fitting)
    return (
        f"{board.name} can't run {recipe} on {accelerator!r}: {there}; leave out --accelerator or that board"
    )


def outdated(plan: plan_pb2.Plan, board: Board) -> str | None:
    """Why a board's agent would measure something else than the plan says, in one line; None where it would
    not.

    An agent of an earlier edgemeter passes over what it does not know of a plan: asked for a server, it would
    time one query after another. Such agents are told by their runtimes, of which they say no accelerator,
    not even the processor.
    """
    asks = {
        "scenario": plan.scenario != plan_pb2.SCENARIO_SINGLE_STREAM,
        "batch_size": plan.batch_size > 1,
        "affinity_cpus": bool(plan.affinity_cpus),
    }
    asked = [name for name, is_so in asks.items() if is_so]
    runtimes = board.facts.runtimes
    if not asked or not runtimes or any(runtime.accelerators for runtime in runtimes):
        return None
    return (
        f"{board.name} has an agent of an earlier edgemeter, which knows nothing of {listed(asked)}: "
        "upgrade it, or leave out that board"
    )


def unpinnable(plan: plan_pb2.Plan, board: Board) -> str | None:
    """Why a plan's processors are not a board's, in one line; None where they are, or where the board doesn't
    say how many it has."""
    count = board.facts.cpu_count
    beyond = [cpu for cpu in plan.affinity_cpus if cpu >= count]
    if not count or not beyond:
        return None
    return f"{board.name} has no processor {beyond[0]}: it has 0 to {count - 1}"


def _have(names: Sequence[str]) -> str:
    return f"{listed(names)} {'has' if len(names) == 1 else 'have'}"


def _advice(every: Sequence[Board]) -> str:
    metered = [f"{board.name} ({', '.join(board.meters)})" for board in every if board.meters]
    attach = "attach one (`edgemeter meter attach`), or leave out --require-energy"
    if not metered:
        return f"nor has any other board: {attach}"
    return f"boards that have one: {listed(metered)}; choose those by --device, {attach}"
