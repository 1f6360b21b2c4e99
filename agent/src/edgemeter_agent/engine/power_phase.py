"""The job's meter, and the energy of its variants."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from edgemeter_agent.board.identity import available_memory_bytes
from edgemeter_agent.board.observables import NO_METER
from edgemeter_agent.engine.context import JobContext, JobError
from edgemeter_agent.engine.energy_phase import (
    EnergyOutcome,
    EnergyVariant,
    measure_energy,
    no_meter,
    not_asked,
    steps,
    write_trace,
)
from edgemeter_agent.engine.record import VariantRecord
from edgemeter_agent.engine.sizing import guess_peak_bytes, holds_all
from edgemeter_agent.engine.variant_process import VariantProcess
from edgemeter_agent.meters import Meter, MeterError, registry

EXEC_REFUSED = "this board runs no programs as meters; `edgemeter-agent run --allow-exec-meters` allows it"


@dataclass(frozen=True, kw_only=True)
class ChosenMeter:
    meter: Meter | None
    why_none: str = ""


@contextlib.contextmanager
def chosen_meter(context: JobContext) -> Iterator[ChosenMeter]:
    """The meter that the plan asks for, or the one that covers most; none where the plan reads no power.

    Raises JobError where a meter was asked for by name, or energy is required, and there is none.
    """
    plan = context.plan
    if not plan.energy_windows and not plan.sustain_duration_ns:
        if plan.require_energy:
            raise JobError("the plan requires energy and asks for no window: energy_windows is 0")
        yield ChosenMeter(meter=None, why_none="the plan asks for no energy")
        return
    calibrations = Path(context.job.calibrations_dir) if context.job.calibrations_dir else None
    refused = [f"{spec}: {EXEC_REFUSED}" for spec in context.job.refused_meters]
    found = registry.find(context.board, context.job.meters, calibrations)
    try:
        meter = registry.choose(found, plan.meter)
        why_none = "; ".join(filter(None, [NO_METER, registry.why_none(found), *refused]))
        if meter is None and plan.require_energy:
            raise JobError(f"the plan requires energy: {why_none}")
        registry.close(found, but=meter)
        yield ChosenMeter(meter=meter, why_none="" if meter else why_none)
    except MeterError as error:
        raise JobError("; ".join([error.detail, *refused])) from None
    finally:
        registry.close(found)


class PowerPhase:
    """Sets the records' energy and traces."""

    def __init__(self, context: JobContext, records: list[VariantRecord], chosen: ChosenMeter) -> None:
        self._context, self._records, self._chosen = context, records, chosen
        self._asked = bool(context.plan.energy_windows)
        if self._asked and chosen.meter:
            context.progress.plan(steps(len(records), context.plan))

    def run(self) -> None:
        meter = self._chosen.meter
        if not self._asked or meter is None:
            for record in self._records:
                energy = no_meter(self._chosen.why_none) if self._asked else not_asked()
                record.energy = energy
            return
        able = [record for record in self._records if record.failure is None]
        with contextlib.ExitStack() as stack:
            outcomes = measure_energy(
                [EnergyVariant(name=record.name, query_ns=record.window_query_ns) for record in able],
                _Processes(self._context, able, stack).of,
                meter,
                self._context.plan,
                self._context.machine,
                facts=registry.facts(meter),
                tell=self._tell,
            )
        for record, outcome in zip(able, outcomes, strict=True):
            self._keep(record, outcome)

    def _tell(self, phase: str) -> None:
        self._context.progress.tell(phase)
        self._context.progress.step()

    def _keep(self, record: VariantRecord, outcome: EnergyOutcome) -> None:
        record.energy = outcome.energy
        record.energy.sample_noun = record.sample_noun
        record.energy_doubts = outcome.degraded
        if outcome.failure is not None:
            record.energy_doubts += ((outcome.failure[0], f"in an energy window: {outcome.failure[1]}"),)
        if outcome.trace:
            record.trace_path = self._context.path(f"trace-{self._records.index(record)}.npz")
            write_trace(record.trace_path, outcome)


class _Processes:
    """One for each variant, alive from its first window on; or, where memory does not hold them all, a fresh
    one for each window."""

    def __init__(
        self, context: JobContext, records: list[VariantRecord], stack: contextlib.ExitStack
    ) -> None:
        self._context, self._records, self._stack = context, records, stack
        empty = context.empty_peak_bytes
        peaks = [
            record.peak_rss_bytes or guess_peak_bytes(empty, record.artifact_bytes) for record in records
        ]
        self._together = holds_all(available_memory_bytes(context.board), peaks)
        self._alive: dict[int, VariantProcess] = {}

    @contextlib.contextmanager
    def of(self, index: int) -> Iterator[VariantProcess]:
        """Raises VariantError."""
        record = self._records[index]
        if not self._together:
            with self._context.ready(record) as process:
                yield process
            return
        if index not in self._alive:
            self._alive[index] = self._stack.enter_context(self._context.ready(record))
        yield self._alive[index]
