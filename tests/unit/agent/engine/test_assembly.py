from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np

from edgemeter_agent.conditions.judge import Machine
from edgemeter_agent.conditions.settle import Settled
from edgemeter_agent.conditions.summary import SeenBlock
from edgemeter_agent.engine.assembly import JobFacts, assemble, file_digest, write_samples
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
        emulated_because=None,
        harness_overhead_ns=140.0,
    )


def block(number: int, latency_ns: list[int], *void_reasons: str) -> TimedBlock:
    moment = result_pb2.Snapshot(monotonic_ns=number)
    seen = SeenBlock(before=moment, after=moment, void_reasons=void_reasons)
    return TimedBlock(process=0, number=number, latency_ns=np.array(latency_ns, np.int64), seen=seen)


def record(*blocks: TimedBlock) -> VariantRecord:
    return VariantRecord(
        variant=engine_pb2.EngineVariant(variant_id="v"),
        runtime=InstalledRuntime(name="litert", version="2.3.0", formats=("tflite",)),
        batch_queries=1,
        blocks=list(blocks),
        load_ns=[30, 10, 20],
        first_inference_ns=[7, 9, 8],
        peak_rss_bytes=1000,
    )


def test_kept_blocks_alone_make_the_numbers() -> None:
    result = assemble(
        record(block(0, [100] * 9), block(1, [900] * 9, "steal"), block(2, [110] * 9)), facts(), ""
    )
    assert result.latency.samples == 18
    assert (result.latency.min_ns, result.latency.max_ns) == (100, 110)
    assert (result.cold.load_ns, result.cold.first_inference_ns) == (20, 8)
    assert result.harness_overhead_ns == 140
    assert result.conditions.settled_after_ns == 5
    assert result.verdict.reasons[0].code == "steal"
    assert result.verdict.state == result_pb2.VERDICT_STATE_DEGRADED


def test_where_no_block_was_kept_all_are_shown_and_the_verdict_is_void() -> None:
    blocks = [block(number, [100 + number] * 9, "contention") for number in range(3)]
    result = assemble(record(*blocks), facts(), "")
    assert result.latency.samples == 27
    assert result.verdict.state == result_pb2.VERDICT_STATE_VOID
    assert result.verdict.reasons[0].code == "contention"


def test_without_a_block_there_is_no_latency() -> None:
    failed = record()
    failed.failure = ("crashed", "SIGSEGV")
    result = assemble(failed, facts(), "")
    assert not result.HasField("latency")
    assert [reason.code for reason in result.verdict.reasons] == ["crashed"]


def test_only_heat_outlives_the_settling() -> None:
    blocks = [block(number, [100] * 300) for number in range(3)]
    assert (
        assemble(record(*blocks), facts(("contention",)), "").verdict.state == result_pb2.VERDICT_STATE_VALID
    )
    hot = assemble(record(*blocks), facts(("contention", "hot")), "").verdict
    assert (hot.state, hot.reasons[0].code) == (result_pb2.VERDICT_STATE_DEGRADED, "hot")


def test_each_result_is_another() -> None:
    one = record(block(0, [1]))
    assert assemble(one, facts(), "").id != assemble(one, facts(), "").id


def test_samples_go_to_the_file_in_their_order(tmp_path: Path) -> None:
    path = str(tmp_path / "samples.npz")
    write_samples(path, [block(0, [3, 1]), block(1, [2], "steal")])
    with np.load(path, allow_pickle=False) as samples:
        assert samples["latency_ns"].tolist() == [3, 1, 2]
        assert samples["block"].tolist() == [0, 0, 1]
        assert samples["kept"].tolist() == [True, True, False]
    result = assemble(record(block(0, [3, 1])), facts(), path)
    assert result.samples_digest == file_digest(path) == hashlib.sha256(Path(path).read_bytes()).hexdigest()
