from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edgemeter_agent.conditions.judge import Machine
from edgemeter_agent.conditions.settle import Settled
from edgemeter_agent.conditions.summary import SeenBlock
from edgemeter_agent.engine.admission import file_digest
from edgemeter_agent.engine.assembly import JobFacts, assemble, compare_all, write_samples
from edgemeter_agent.engine.record import TimedBlock, VariantRecord
from edgemeter_agent.runtimes.installed import InstalledRuntime
from edgemeter_protos import plans
from edgemeter_protos.v1 import device_pb2, engine_pb2, result_pb2


def facts(unsettled: tuple[str, ...] = ()) -> JobFacts:
    return JobFacts(
        plan=plans.resolve("quick", blocks=3),
        machine=Machine(cpu_count=4, threads=1, tick_ns=10_000_000),
        settled=Settled(waited_ns=5, unsettled=unsettled),
        unreadable=[device_pb2.Observable(name="frequency", detail="no cpufreq")],
        setting_before=result_pb2.Snapshot(),
        setting_after=result_pb2.Snapshot(),
        governor_why_not=None,
        emulated_because=None,
        harness_overhead_ns=140.0,
    )


def block(number: int, latency_ns: list[int], *void_reasons: str) -> TimedBlock:
    moment = result_pb2.Snapshot(monotonic_ns=number)
    seen = SeenBlock(before=moment, after=moment, void_reasons=void_reasons)
    return TimedBlock(
        process=0,
        number=number,
        latency_ns=np.array(latency_ns, np.int64),
        queueing_ns=np.array([], np.int64),
        most_in_flight=0,
        samples=len(latency_ns),
        duration_ns=sum(latency_ns),
        seen=seen,
    )


def record(*blocks: TimedBlock) -> VariantRecord:
    return VariantRecord(
        variant=engine_pb2.EngineVariant(variant_id="v"),
        runtime=InstalledRuntime(name="litert", version="2.3.0", formats=("tflite",)),
        batch_queries=1,
        blocks=list(blocks),
        load_ns=[30, 10, 20],
        first_inference_ns=[7, 9, 8],
        peak_rss_bytes=1000,
        imported_peak_bytes=400,
        loaded_peak_bytes=900,
        energy=result_pb2.Energy(status=result_pb2.ENERGY_STATUS_NO_METER, detail="no meter on this board"),
    )


def test_kept_blocks_alone_make_the_numbers() -> None:
    result = assemble(
        record(block(0, [100] * 9), block(1, [900] * 9, "steal"), block(2, [110] * 9)), facts(), None, ""
    )
    assert result.latency.samples == 18
    assert (result.latency.min_ns, result.latency.max_ns) == (100, 110)
    assert (result.cold.load_ns, result.cold.first_inference_ns) == (20, 8)
    assert (result.cold.load_max_ns, result.cold.processes) == (30, 3)
    assert (result.memory.peak_rss_bytes, result.memory.model_bytes) == (1000, 500)
    assert not result.memory.HasField("arena_bytes")
    assert [each.percent for each in result.latency.percentiles] == [50, 90, 95, 99, 99.9]
    assert result.latency.percentiles[0].value_ns == result.latency.p50_ns
    assert result.harness_overhead_ns == 140
    assert result.conditions.settled_after_ns == 5
    assert result.verdict.reasons[0].code == "steal"
    assert result.verdict.state == result_pb2.VERDICT_STATE_DEGRADED


def test_where_no_block_was_kept_all_are_shown_and_the_verdict_is_void() -> None:
    blocks = [block(number, [100 + number] * 9, "contention") for number in range(3)]
    result = assemble(record(*blocks), facts(), None, "")
    assert result.latency.samples == 27
    assert result.verdict.state == result_pb2.VERDICT_STATE_VOID
    assert result.verdict.reasons[0].code == "contention"


def test_without_a_block_there_is_no_latency() -> None:
    failed = record()
    failed.failure = ("crashed", "SIGSEGV")
    result = assemble(failed, facts(), None, "")
    assert not result.HasField("latency")
    assert [reason.code for reason in result.verdict.reasons] == ["crashed"]


def test_only_heat_outlives_the_settling() -> None:
    blocks = [block(number, [100] * 300) for number in range(3)]
    assert (
        assemble(record(*blocks), facts(("contention",)), None, "").verdict.state
        == result_pb2.VERDICT_STATE_VALID
    )
    hot = assemble(record(*blocks), facts(("contention", "hot")), None, "").verdict
    assert (hot.state, hot.reasons[0].code) == (result_pb2.VERDICT_STATE_DEGRADED, "hot")


def test_each_result_is_another() -> None:
    one = record(block(0, [1]))
    assert assemble(one, facts(), None, "").id != assemble(one, facts(), None, "").id


def test_samples_go_to_the_file_in_their_order(tmp_path: Path) -> None:
    path = str(tmp_path / "samples.npz")
    write_samples(path, [block(0, [3, 1]), block(1, [2], "steal")])
    with np.load(path, allow_pickle=False) as samples:
        assert samples["latency_ns"].tolist() == [3, 1, 2]
        assert samples["block"].tolist() == [0, 0, 1]
        assert samples["kept"].tolist() == [True, True, False]
        assert samples["outlier"].tolist() == [False, False, False]
        assert "queueing_ns" not in samples
    result = assemble(record(block(0, [3, 1])), facts(), None, path)
    assert result.samples_digest == file_digest(path) == hashlib.sha256(Path(path).read_bytes()).hexdigest()


def test_a_variant_is_compared_with_the_first_by_blocks_that_were_kept() -> None:
    first = record(*[block(number, [100 + number] * 9) for number in range(4)])
    half = record(*[block(number, [50 + number] * 9) for number in range(3)], block(3, [9000] * 9, "steal"))
    lost = record(*[block(number, [100] * 9, "steal") for number in range(4)])
    for name, each in (("half", half), ("lost", lost)):
        each.variant.variant_id = name
    compared = compare_all([first, half, lost])
    assert set(compared) == {"half"}
    assert compared["half"].baseline_variant_id == "v"
    assert compared["half"].ratio == pytest.approx(0.5, abs=0.01)
    assert compared["half"].pairs == 3
    assert compared["half"].outcome == result_pb2.OUTCOME_FASTER
    assert assemble(half, facts(), compared["half"], "").comparison == compared["half"]
    assert not assemble(first, facts(), None, "").HasField("comparison")


def test_a_servers_queries_are_told_with_what_they_waited_for() -> None:
    plan = plans.resolve("quick", scenario="server", latency_bound="1us", blocks=2)
    waiting = [
        replace(
            block(number, [900, 1200, 800, 950]),
            queueing_ns=np.array([0, 400, 100, 150], np.int64),
            most_in_flight=2 + number,
            duration_ns=4000,
        )
        for number in range(2)
    ]
    served = record(*waiting)
    served.target_qps = served.highest_qps = 1e6
    served.probes = [result_pb2.RateProbe(target_qps=1e6, held=True)]
    serving = assemble(served, replace(facts(), plan=plan), None, "").serving
    assert serving.achieved_qps == 1e6
    assert (serving.queueing_p50_ns, serving.queueing_p99_ns) == (100, 400)
    assert serving.most_in_flight == 3
    assert not serving.bound_held
    assert serving.highest_qps == 1e6
    assert len(serving.probes) == 1
