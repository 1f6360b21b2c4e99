"""What a board must have for a plan, and the line that says what is missing."""

from __future__ import annotations

import pytest

from edgemeter_coordinator.schedule.measurable import Board, outdated, unaccelerated, unmetered, unpinnable
from edgemeter_protos import plans
from edgemeter_protos.v1 import device_pb2, plan_pb2, variant_pb2


def board(name: str, *meters: str, attached: tuple[str, ...] = (), cpu_count: int = 4) -> Board:
    facts = device_pb2.DeviceFacts(
        cpu_count=cpu_count, meters=[device_pb2.MeterFacts(name=meter) for meter in meters]
    )
    return Board(name=name, facts=facts, attached=attached)


BARE, METERED = board("pi-a"), board("orin", "ina3221", "rapl")
LENT = board("pi-b", attached=("remote:10.0.0.9:7450",))
REQUIRED = plan_pb2.Plan(require_energy=True)


@pytest.mark.parametrize(
    ("plan", "chosen", "says"),
    [
        pytest.param(plan_pb2.Plan(), [BARE], None, id="energy is not required"),
        pytest.param(REQUIRED, [METERED], None, id="a meter of its own"),
        pytest.param(REQUIRED, [LENT], None, id="an attached meter"),
        pytest.param(
            REQUIRED,
            [BARE, METERED],
            "energy is required, and pi-a has no meter; boards that have one: orin (ina3221, rapl), "
            "pi-b (remote:10.0.0.9:7450); choose those by --device, attach one (`edgemeter meter attach`), "
            "or leave out --require-energy",
            id="one of two has none",
        ),
        pytest.param(plan_pb2.Plan(meter="rapl"), [METERED], None, id="a meter by its name"),
        pytest.param(
            plan_pb2.Plan(meter="pmic"),
            [METERED],
            "orin has no meter 'pmic': it has ina3221, rapl; `edgemeter meter ls` lists them all",
            id="another meter",
        ),
        pytest.param(
            plan_pb2.Plan(meter="pmic"),
            [BARE],
            "pi-a has no meter 'pmic': it has none; `edgemeter meter ls` lists them all",
            id="no meter at all",
        ),
        pytest.param(plan_pb2.Plan(meter="bench supply"), [LENT], None, id="only the board knows its name"),
    ],
)
def test_energy(plan: plan_pb2.Plan, chosen: list[Board], says: str | None) -> None:
    assert unmetered(plan, chosen, [BARE, METERED, LENT]) == says


def test_energy_where_no_board_has_a_meter() -> None:
    said = unmetered(REQUIRED, [BARE, board("pi-c")], [BARE, board("pi-c")])
    assert said == (
        "energy is required, and pi-a, pi-c have no meter; nor has any other board: "
        "attach one (`edgemeter meter attach`), or leave out --require-energy"
    )


NEED = [variant_pb2.RuntimeRequirement(runtime="onnxruntime", min_version="1.20")]


def runtime(version: str = "1.23", *accelerators: str, name: str = "onnxruntime") -> device_pb2.RuntimeFacts:
    return device_pb2.RuntimeFacts(name=name, version=version, accelerators=accelerators)


@pytest.mark.parametrize(
    ("accelerator", "runtimes", "can"),
    [
        pytest.param("", [runtime("1.23", "cpu")], True, id="the usual one"),
        pytest.param("cuda", [runtime("1.23", "cpu", "cuda")], True, id="there"),
        pytest.param("cuda", [runtime("1.23", "cpu")], False, id="not there"),
        pytest.param("cuda", [runtime("1.23")], True, id="an earlier agent: it decides"),
        pytest.param(
            "cuda", [runtime("1.19", "cuda"), runtime("1.23", "cpu")], False, id="in a version that won't do"
        ),
        pytest.param(
            "cuda",
            [runtime("2", "cuda", name="torch"), runtime("1.23", "cpu")],
            False,
            id="of another runtime",
        ),
    ],
)
def test_accelerators(accelerator: str, runtimes: list[device_pb2.RuntimeFacts], can: bool) -> None:
    there = Board(name="pi-a", facts=device_pb2.DeviceFacts(runtimes=runtimes))
    said = unaccelerated(accelerator, "int8@onnx", NEED, there)
    assert (said is None) is can
    if said is not None:
        assert said.startswith("pi-a can't run int8@onnx on 'cuda': onnxruntime has cpu;")


@pytest.mark.parametrize(
    ("cpus", "cpu_count", "says"),
    [
        ([], 4, None),
        ([0, 3], 4, None),
        ([2, 4], 4, "pi-a has no processor 4: it has 0 to 3"),
        ([99], 0, None),  # an agent that does not say how many
    ],
)
def test_processors(cpus: list[int], cpu_count: int, says: str | None) -> None:
    assert unpinnable(plan_pb2.Plan(affinity_cpus=cpus), board("pi-a", cpu_count=cpu_count)) == says


@pytest.mark.parametrize(
    ("plan", "runtimes", "names"),
    [
        pytest.param({}, [runtime()], "", id="all that it knows"),
        pytest.param({"scenario": "offline"}, [runtime("1.23", "cpu")], "", id="an agent of today"),
        pytest.param({"scenario": "offline"}, [], "", id="no runtime: refused for that"),
        pytest.param({"scenario": "offline"}, [runtime()], "scenario", id="a scenario"),
        pytest.param({"batch_size": 4}, [runtime(), runtime()], "batch_size", id="a batch"),
        pytest.param(
            {"affinity_cpus": [0], "scenario": "offline"}, [runtime()], "scenario, affinity_cpus", id="two"
        ),
        pytest.param({"sustain": "1s", "energy_windows": 5}, [runtime()], "", id="what is just left out"),
    ],
)
def test_an_earlier_agent_measures_nothing_else_than_was_asked(
    plan: dict[str, plans.Value], runtimes: list[device_pb2.RuntimeFacts], names: str
) -> None:
    there = Board(name="pi-a", facts=device_pb2.DeviceFacts(runtimes=runtimes))
    said = outdated(plans.resolve("quick", **plan), there)
    assert (said is not None) is bool(names)
    assert said is None or f"knows nothing of {names}: upgrade it" in said
