"""The commands that repeat a study."""

from __future__ import annotations

import shlex

import pytest

from edgemeter_coordinator.cli.plan_options import parse_cpus, parse_numbers
from edgemeter_coordinator.report.page import repeat
from edgemeter_protos import plans
from edgemeter_protos.v1 import plan_pb2
from tests.unit.coordinator.report.page.studies import material, pictures


@pytest.mark.parametrize(
    "plan",
    [
        pytest.param(plans.resolve("quick"), id="a profile as it is"),
        pytest.param(plans.resolve("standard", blocks=6, sustain="90s", seed=3), id="single numbers"),
        pytest.param(
            plans.resolve("quick", scenario="server", target_qps=12.5, latency_bound="10ms"), id="a server"
        ),
        pytest.param(
            plans.resolve(
                "quick", affinity_cpus=[2, 3], accelerator="xnnpack", meter="ina", energy_windows=4
            ),
            id="where and with what",
        ),
        pytest.param(plans.resolve("publication", require_energy=True), id="energy or nothing"),
        pytest.param(plans.resolve("quick", scenario="multi-stream"), id="a scenario with its own numbers"),
    ],
)
def test_the_options_give_the_same_plan(plan: plan_pb2.Plan) -> None:
    assert resolved(repeat.plan_options(plan)) == plan


def resolved(options: list[str]) -> plan_pb2.Plan:
    """As `edgemeter bench` reads them."""
    words = list(options)
    profile, pairs, numbers = "", list[str](), dict[str, plans.Value]()
    while words:
        match words.pop(0):
            case "--profile":
                profile = words.pop(0)
            case "--require-energy":
                numbers["require_energy"] = True
            case "--set":
                pairs.append(words.pop(0))
            case "--affinity":
                numbers["affinity_cpus"] = parse_cpus(words.pop(0))
            case name:
                numbers[name.removeprefix("--")] = words.pop(0)
    return plans.resolve(profile, **{**parse_numbers(pairs), **numbers})


def test_the_command_is_one_that_a_shell_takes() -> None:
    study = material(pictures(), model="my net; rm -rf /").study
    words = shlex.split(repeat.bench_command(study))
    assert words[:5] == ["edgemeter", "bench", "my net; rm -rf /", "--data", "data"]
    assert words.count("--recipe") == 6
    assert words[words.index("--device") + 1] == "pi-a"
    options = ["--profile", "standard", "--set", "deadline=70m", "--set", "sustain_duration=1m"]
    assert words[-len(options) :] == options


def test_a_bundle_by_the_studys_name() -> None:
    assert repeat.bundle_commands("compression/resnet") == (
        "edgemeter study bundle compression/resnet -o compression-resnet.zip --with-files",
        "edgemeter study replay compression-resnet.zip",
    )
