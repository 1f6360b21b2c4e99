"""From runtimes' events to calls: LiteRT's, torch's and ExecuTorch's."""

from __future__ import annotations

from typing import Any

import flatbuffers  # type: ignore[import-untyped]
import pytest

from edgemeter_agent.runtimes import LoadOptions, operators
from edgemeter_agent.runtimes.operators import executorch, litert, torch
from edgemeter_agent.runtimes.operators.litert_library import Event
from edgemeter_agent.runtimes.operators.tally import calls_of

CONVOLUTION = "Convolution (NHWC, F32) IGEMM"


def event(tag: str, kind: int, number: int, elapsed_us: int = 5) -> Event:
    return Event(tag=tag, kind=kind, elapsed_us=elapsed_us, number=number)


def test_litert_tells_delegates_parts_apart() -> None:
    events = [
        event("LiteRT::Run[buffer registration]", 1, 0),
        event("Invoke", 1, 0),
        event(CONVOLUTION, 8, 0, 20),
        event("Softmax (NC, F32)", 8, 1),
        event("CUMSUM", 2, 1, 4),
        event(CONVOLUTION, 4, 0, 17),
        # the next part follows at once
        event(CONVOLUTION, 8, 0, 16),
        event("Invoke", 32, -1),
    ]
    calls = litert.operator_calls(events, 3)
    assert [(call.name, call.kind, call.ns, call.ran_on) for call in calls] == [
        (f"0: {CONVOLUTION} #0", CONVOLUTION, 20_000, "XNNPACK"),
        ("0: Softmax (NC, F32) #1", "Softmax (NC, F32)", 5_000, "XNNPACK"),
        ("CUMSUM #1", "CUMSUM", 4_000, "CPU"),
        (f"1: {CONVOLUTION} #0", CONVOLUTION, 17_000, "XNNPACK"),
        (f"2: {CONVOLUTION} #0", CONVOLUTION, 16_000, "XNNPACK"),
    ]
    assert {call.query for call in calls} == {3}


@pytest.mark.parametrize(
    ("options", "toml"),
    [
        (LoadOptions(), 'num_threads = 1\nkernel_mode = "xnnpack"\n'),
        (LoadOptions(threads=4, accelerator="xnnpack"), 'num_threads = 4\nkernel_mode = "xnnpack"\n'),
        (LoadOptions(accelerator="cpu"), 'num_threads = 1\nkernel_mode = "builtin"\n'),
    ],
)
def test_litert_is_profiled_as_it_was_measured(options: LoadOptions, toml: str) -> None:
    assert litert.cpu_options(options) == toml


ROWS = [
    ("aten::warm_up", 1.0, 100.0),
    (torch.QUERY, 10.0, 3.0),
    ("aten::conv2d", 11.0, 0.0),
    ("aten::mkldnn_convolution", 12.0, 80.0),
    ("cudaLaunchKernel", 13.0, 9.0),
    (torch.QUERY, 200.0, 3.0),
    ("quantized::linear", 201.0, 7.5),
    ("aten::conv2d", 205.0, 0.0),
]


@pytest.mark.parametrize(
    ("counts_idle", "names"),
    [
        (True, ["aten::conv2d", "aten::mkldnn_convolution", "quantized::linear", "aten::conv2d"]),
        (False, ["aten::mkldnn_convolution", "quantized::linear"]),
    ],
)
def test_torchs_operators_go_by_their_query(counts_idle: bool, names: list[str]) -> None:
    calls = torch.operator_calls(reversed(ROWS), 2, "CUDA (Orin)", counts_idle=counts_idle)
    assert [call.name for call in calls] == names
    by_name = {call.name: call for call in calls}
    assert (by_name["quantized::linear"].query, by_name["quantized::linear"].ns) == (1, 7500)
    assert (by_name["aten::mkldnn_convolution"].query, by_name["aten::mkldnn_convolution"].kind) == (
        0,
        "mkldnn_convolution",
    )
    assert {call.ran_on for call in calls} == {"CUDA (Orin)"}


def test_a_query_that_left_no_mark() -> None:
    with pytest.raises(ValueError, match="it saw 2 of 3 queries"):
        torch.operator_calls(ROWS, 3, "CPU")


def etdump(runs: list[list[tuple[str, int, str, int, int]]]) -> memoryview:
    """Of (name, instruction, delegate's part, begin, end), with the four bytes before it."""
    builder = flatbuffers.Builder(256)

    def offsets(items: list[int]) -> int:
        builder.StartVector(4, len(items), 4)
        for item in reversed(items):
            builder.PrependUOffsetTRelative(item)
        return int(builder.EndVector())

    def profiled(seen: tuple[str, int, str, int, int]) -> int:
        name, instruction, part, begin, end = seen
        texts: list[Any] = [builder.CreateString(text) if text else 0 for text in (name, part)]
        builder.StartObject(8)
        builder.PrependUOffsetTRelativeSlot(0, texts[0], 0)
        builder.PrependInt32Slot(2, instruction, -1)
        builder.PrependUOffsetTRelativeSlot(4, texts[1], 0)
        builder.PrependUint64Slot(6, begin, 0)
        builder.PrependUint64Slot(7, end, 0)
        inner = builder.EndObject()
        builder.StartObject(3)
        builder.PrependUOffsetTRelativeSlot(0, inner, 0)
        return int(builder.EndObject())

    made = []
    for run in runs:
        events = offsets([profiled(seen) for seen in run])
        builder.StartObject(4)
        builder.PrependUOffsetTRelativeSlot(3, events, 0)
        made.append(int(builder.EndObject()))
    data = offsets(made)
    builder.StartObject(2)
    builder.PrependUOffsetTRelativeSlot(1, data, 0)
    builder.FinishSizePrefixed(builder.EndObject())
    return memoryview(bytes(builder.Output()))


EXECUTION = [
    ("", 0, f"{CONVOLUTION} #1", 130, 160),
    ("", 0, f"{CONVOLUTION} #2", 160, 180),
    ("DELEGATE_CALL", 0, "", 120, 190),
    ("native_call_mean.out", 1, "", 195, 210),
    ("OPERATOR_CALL", 1, "", 192, 212),
    ("Method::execute", -1, "", 100, 230),
]

INIT = [("Method::init", -1, "", 1, 50)]


def test_an_etdump_has_a_delegates_parts_and_what_is_around_them() -> None:
    spans = executorch.operator_spans(etdump([INIT, EXECUTION, EXECUTION]), 1, "XNNPACK")
    assert sorted((call.name, call.kind, call.ns, call.ran_on, call.query) for call in calls_of(spans)) == [
        (f"0: {CONVOLUTION} #1", CONVOLUTION, 30, "XNNPACK", 0),
        (f"0: {CONVOLUTION} #2", CONVOLUTION, 20, "XNNPACK", 0),
        ("0: DELEGATE_CALL", "DELEGATE_CALL", 20, "XNNPACK", 0),
        ("1: mean.out", "mean.out", 15, "ExecuTorch's kernels", 0),
    ]


def test_executions_are_numbered_from_the_last_ones_first() -> None:
    later = [(name, at, part, begin + 1000, end + 1000) for name, at, part, begin, end in EXECUTION]
    spans = executorch.operator_spans(etdump([INIT, EXECUTION, EXECUTION, later]), 2, "XNNPACK")
    assert {(span.query, span.begin_ns > 1000) for span in spans} == {(0, False), (1, True)}


def test_a_dump_with_too_few_executions() -> None:
    with pytest.raises(ValueError, match="the dump holds 1 of 2 executions"):
        executorch.operator_spans(etdump([INIT, EXECUTION]), 2, "XNNPACK")


def test_no_dump() -> None:
    with pytest.raises(ValueError, match="points"):
        executorch.operator_spans(memoryview(b"rubbish that is no dump"), 1, "")


def test_runtimes_without_a_profiler_and_queries_that_are_none(tmp_path: Any) -> None:
    assert operators.profile("null", "", LoadOptions(), [], 5, tmp_path).unavailable
    assert operators.profile("warp", "", LoadOptions(), [], 5, tmp_path).unavailable == "warp has no profiler"
    with pytest.raises(ValueError, match="at least one query"):
        operators.profile("onnxruntime", "", LoadOptions(), [], 0, tmp_path)
