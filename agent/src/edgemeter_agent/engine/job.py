"""A job: its variants admitted, measured together and evaluated, one result each."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from edgemeter_agent.board.emulation import emulated_because
from edgemeter_agent.board.facts import architecture
from edgemeter_agent.board.governor import performance
from edgemeter_agent.board.observables import unreadable
from edgemeter_agent.board.root import BoardRoot
from edgemeter_agent.conditions.setting import take_setting
from edgemeter_agent.conditions.settle import settle
from edgemeter_agent.engine.admission import admit
from edgemeter_agent.engine.assembly import JobFacts, assemble, compare_all, write_samples
from edgemeter_agent.engine.cold_phase import ColdPhase
from edgemeter_agent.engine.context import Emit, JobContext, JobError, context_of
from edgemeter_agent.engine.evaluation_phase import EvaluationPhase
from edgemeter_agent.engine.golden_phase import GoldenPhase
from edgemeter_agent.engine.harness_phase import measure_harness
from edgemeter_agent.engine.latency_phase import LatencyPhase
from edgemeter_agent.engine.operators_phase import OperatorsPhase
from edgemeter_agent.engine.power_phase import ChosenMeter, PowerPhase, chosen_meter
from edgemeter_agent.engine.record import VariantRecord
from edgemeter_agent.engine.serving_phase import ServingPhase
from edgemeter_agent.engine.sustain_phase import SustainPhase
from edgemeter_agent.engine.variant_process import DeadlineError
from edgemeter_protos.v1 import engine_pb2, result_pb2


def run_job(job: engine_pb2.EngineJob, emit: Emit, board: BoardRoot | None = None) -> None:
    """Measures all variants and emits progress, a result for each variant in the job's order, and done; or,
    where the job itself can't be done, a failure.

    A variant that fails gets a void verdict that says why; the others go on. Must be called in the main
    thread: variant processes die with the thread that started them. Interrupted by an exception
    (KeyboardInterrupt, SystemExit), it ends its processes and puts the governor back.
    """
    try:
        _run(job, emit, board or BoardRoot())
    except DeadlineError:
        detail = f"the job ran longer than its deadline of {job.plan.deadline_ns / 1e9:.0f} s"
        emit(engine_pb2.EngineEvent(failure=engine_pb2.EngineFailure(detail=detail)))
    except JobError as failed:
        emit(engine_pb2.EngineEvent(failure=engine_pb2.EngineFailure(detail=str(failed))))
    except OSError as error:
        failure = engine_pb2.EngineFailure(detail=board_failure(error), device_failed=True)
        emit(engine_pb2.EngineEvent(failure=failure))
    else:
        emit(engine_pb2.EngineEvent(done=engine_pb2.EngineDone()))


def board_failure(error: OSError) -> str:
    """One line: "the board could not go on: /var/…/samples-0.npz: No space left on device; free some"."""
    what = error.strerror or str(error) or type(error).__name__
    where = f"{error.filename}: " if error.filename else ""
    hint = "; free some" if error.errno in (errno.ENOSPC, errno.EDQUOT) else ""
    return f"the board could not go on: {where}{what}{hint}"


def _run(job: engine_pb2.EngineJob, emit: Emit, board: BoardRoot) -> None:
    if not job.variants:
        raise JobError("the job has no variants")
    context = context_of(job, emit, board)
    records = [VariantRecord(variant=variant) for variant in job.variants]
    with chosen_meter(context) as chosen:
        Path(job.work_dir).mkdir(parents=True, exist_ok=True)
        context.progress.tell("checking artifacts")
        for record in records:
            admit(record)
        facts = _measure(context, records, chosen)
    comparisons = compare_all(records)
    for index, record in enumerate(records):
        comparison = comparisons.get(record.variant.variant_id)
        _report(context, index, record, facts, comparison, emit)


def _measure(context: JobContext, records: list[VariantRecord], chosen: ChosenMeter) -> JobFacts:
    board = context.board
    context.progress.plan(1)
    phases = (
        GoldenPhase(context, records),
        ServingPhase(context, records),
        LatencyPhase(context, records),
        ColdPhase(context, records),
        PowerPhase(context, records, chosen),
        SustainPhase(context, records, chosen),
        OperatorsPhase(context, records),
        EvaluationPhase(context, records),
    )
    accelerated = context.machine.uses_accelerator
    with performance(board) as governor_why_not:
        # From here on: that the governor was changed is our own doing.
        setting_before = take_setting(board, accelerated)
        context.progress.tell("waiting for the board to settle")
        settled = settle(board, context.machine, context.plan.settle_timeout_ns)
        measure_harness(context)
        for phase in phases:
            phase.run()
        setting_after = take_setting(board, accelerated)
    return JobFacts(
        plan=context.plan,
        machine=context.machine,
        settled=settled,
        setting_before=setting_before,
        setting_after=setting_after,
        unreadable=unreadable(board),
        governor_why_not=governor_why_not,
        emulated_because=emulated_because(board, architecture(), os.environ),
        harness_overhead_ns=context.overhead_ns,
    )


def _report(
    context: JobContext,
    index: int,
    record: VariantRecord,
    facts: JobFacts,
    comparison: result_pb2.Comparison | None,
    emit: Emit,
) -> None:
    samples_path = ""
    if record.blocks:
        samples_path = context.path(f"samples-{index}.npz")
        write_samples(samples_path, record.blocks)
    result = assemble(record, facts, comparison, samples_path)
    event = engine_pb2.EngineResult(
        result=result,
        samples_path=samples_path,
        outputs_path=record.outputs_path,
        trace_path=record.trace_path,
    )
    emit(engine_pb2.EngineEvent(result=event))
