"""Scenarios, energy, sustained loads and operators through the commands as a user types them, with a program
as the board's power meter."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.browser import PHONE, chromium, shown
from tests.desk import Desk

pytestmark = [pytest.mark.slow, pytest.mark.needs_tensorflow]

WATTS = """
import itertools, time
for reading in itertools.count():
    # A wave of its own: a meter that repeats a number for seconds has frozen.
    print(time.monotonic_ns(), 5 + (reading % 7) / 100, flush=True)
    time.sleep(0.005)
"""


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory, material: Path) -> Iterator[Desk]:
    """A coordinator; a board "metered" whose operator allows programs as meters, and "plain", where not."""
    desk = Desk(tmp_path_factory.mktemp("metered-lab"))
    (desk.folder / "watts.py").write_text(WATTS)
    try:
        desk.serve()
        for name, options in (("metered", "--allow-exec-meters"), ("plain", "")):
            desk.join(name, f"rack={name}")
            desk.attend(name, options)
        desk.ok(f"edgemeter model add {material / 'stripes.keras'}")
        desk.ok(f"edgemeter data add {material / 'stripes.npz'}")
        yield desk
    finally:
        desk.finish()


@pytest.fixture(scope="module")
def spec(lab: Desk) -> str:
    return f"exec:{sys.executable} {lab.folder / 'watts.py'}"


def bench(lab: Desk, material: Path, options: str, rack: str = "metered") -> list[dict[str, Any]]:
    rows = lab.json(
        f"edgemeter bench {material / 'stripes.keras'} --data {material / 'stripes.npz'} --recipe float32"
        f" --recipe int8 --device rack={rack} --profile quick {options}"
    )
    assert isinstance(rows, list)
    return rows


def test_energy_that_is_required_is_refused_before_anything_is_measured(lab: Desk, material: Path) -> None:
    line = lab.refused(
        f"edgemeter bench {material / 'stripes.keras'} --data {material / 'stripes.npz'} --recipe float32"
        " --device rack=plain --profile quick --require-energy"
    )
    assert "plain" in line
    assert "no meter" in line


def test_an_attached_program_meters_a_study(lab: Desk, material: Path, spec: str) -> None:
    attached = lab.json(f"edgemeter meter attach metered '{spec}'")
    assert [meter["spec"] for meter in attached["attached_meters"]] == [spec]
    rows = bench(
        lab,
        material,
        "--require-energy --sustain 1s --operators 5 --set energy_windows=3"
        " --set energy_window_min_duration=300ms --set idle_duration=300ms --name metered",
    )
    assert [row["recipe"] for row in rows] == ["float32@tflite", "int8@tflite"]
    for row in rows:
        energy = row["energy"]
        assert energy["status"] in ("measured", "void")
        assert energy["meter"]["kind"] == "exec"
        # What the program printed, whatever else this machine did meanwhile.
        assert energy["mean_power_mw"] == pytest.approx(5030, abs=20)
        assert energy["idle_before_mw"] == pytest.approx(5030, abs=20)
        assert row["sustained"]["duration_ns"] >= 1_000_000_000
        assert sum(point["queries"] for point in row["sustained"]["points"]) > 0
        assert all(point["power_mw"] == pytest.approx(5030, abs=35) for point in row["sustained"]["points"])
        operators = row["operators"]["operators"]
        assert operators, row["operators"]["unavailable"]
        assert sum(one["share"] for one in operators) == pytest.approx(1, abs=1e-3)
    assert rows[0]["comparison"]["outcome"] is None
    if rows[1]["comparison"]["baseline_recipe"] is None:
        # Nothing to compare: whatever ran beside this test voided one side's blocks.
        assert "void" in {row["verdict"]["state"] for row in rows}
    else:
        assert rows[1]["comparison"]["baseline_recipe"] == "float32@tflite"
        assert rows[1]["comparison"]["pairs"] >= 1
    shown = lab.ok("edgemeter result show metered int8")
    for section in ("energy", "operators", "sustained", "memory"):
        assert section in shown


def test_the_trace_of_power_is_kept(lab: Desk, tmp_path: Path) -> None:
    lab.ok(f"edgemeter result export metered --raw {tmp_path}")
    (trace,) = tmp_path.rglob("*int8*trace*.npz")
    with np.load(trace, allow_pickle=False) as kept:
        assert len(kept["power_monotonic_ns"]) == len(kept["power_total_mw"]) > 100
        assert (np.diff(kept["power_monotonic_ns"]) > 0).all()
        assert kept["windows_ns"].shape[0] >= 3


def test_the_report_of_it_in_a_browser(lab: Desk) -> None:
    """What a board measured, from the coordinator onto the screen."""
    lab.ok("edgemeter report metered -o report.html")
    (answer,) = lab.json("edgemeter report metered")
    assert answer["metric"] == {"name": "top1", "against": "labels", "place": "device"}
    assert [choice["wanted"] for choice in answer["choices"]] == ["latency", "energy", "size"]
    with chromium() as browser, shown(browser, lab.folder / "report.html", **PHONE) as seen:
        seen.page.locator("summary", has_text="Power over time").click()
        seen.scroll_through()
        # Quality over latency and size, operators, the sustained load, power of both; energy and ratios where
        # they were not voided.
        drawn = seen.drawn()
        assert len(drawn) >= 6
        assert all(each["shapes"] > 3 for each in drawn)
        assert seen.page.locator("table.sortable").first.locator("tbody tr").count() == 2
        assert seen.overflow() == []
        assert seen.errors == []
        assert seen.requests == []


def test_a_board_whose_operator_allows_no_programs_says_so(lab: Desk, material: Path, spec: str) -> None:
    lab.ok(f"edgemeter meter attach plain '{spec}'")
    rows = bench(lab, material, "--name refused-program", rack="plain")
    assert {row["energy"]["status"] for row in rows} == {"no_meter"}
    assert "--allow-exec-meters" in rows[0]["energy"]["detail"]
    detached = lab.json(f"edgemeter meter detach plain '{spec}'")
    assert detached["attached_meters"] == []


def test_a_server_under_a_bound(lab: Desk, material: Path) -> None:
    rows = bench(
        lab,
        material,
        "--scenario server --target-qps 200 --latency-bound 500ms --set energy_windows=0 --name served",
        rack="plain",
    )
    for row in rows:
        serving = row["serving"]
        assert serving["target_qps"] == 200
        assert 0 < serving["achieved_qps"] < 400
        assert serving["bound_held"] in (True, False)
        assert row["latency"]["scenario"] == "server"
        assert row["plan"]["latency_bound_ns"] == 500_000_000
        assert row["energy"]["status"] == "not_asked"


def test_offline_in_batches(lab: Desk, material: Path) -> None:
    rows = bench(lab, material, "--scenario offline --batch 4 --name batches", rack="plain")
    for row in rows:
        assert row["latency"]["batch_size"] == 4
        low, high = row["throughput"]["ci95"]
        assert low <= row["throughput"]["samples_per_s"] <= high
        # Batches answer as single samples do.
        assert row["quality"]["value"] == pytest.approx(row["quality"]["coordinator_value"], abs=0.01)
