from __future__ import annotations

import platform
import struct
import subprocess
import sys

import pytest

from edgemeter_agent.board import facts, observables
from edgemeter_agent.board.root import BoardRoot
from edgemeter_agent.conditions.snapshot import take_after, take_before


def test_facts_of_a_pi5(pi5: BoardRoot) -> None:
    read = facts.read_facts(pi5, {})
    assert read.board == "Raspberry Pi 5 Model B Rev 1.0"
    assert read.memory_bytes == 8_052_000 * 1024
    assert not read.meters
    assert read.hostname
    assert read.libc
    assert read.agent_version == "0.1.0"
    assert not read.emulated


def test_facts_of_an_emulated_board(pi5: BoardRoot) -> None:
    assert facts.read_facts(pi5, {"EDGEMETER_EMULATED": "1"}).emulated


def test_reading_facts_loads_neither_numpy_nor_a_runtime() -> None:
    code = (
        "import sys; from edgemeter_agent.board.facts import read_facts; read_facts();"
        "print([name for name in ('numpy', 'ai_edge_litert', 'tflite_runtime') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_every_quantity_is_said_to_be_there_or_why_not(pi5: BoardRoot) -> None:
    seen = {one.name: one for one in observables.observables(pi5)}
    assert {name for name, one in seen.items() if not one.available} == {"energy"}
    assert seen["energy"].detail.startswith("pmic: ")
    assert seen["governor"].detail.startswith("ondemand; ")
    assert all(one.detail for one in seen.values())


def test_a_bare_board_shows_nothing_and_says_so(tmp_path_factory: pytest.TempPathFactory) -> None:
    bare = BoardRoot(tmp_path_factory.mktemp("bare"))
    missing = {one.name: one.detail for one in observables.unreadable(bare)}
    assert set(missing) == {"temperature", "frequency", "throttling", "contention", "steal", "governor"}
    assert all(missing.values())
    snapshot = take_before(bare)
    for name in ("frequency_hz", "temperature_millicelsius", "throttled_bits", "cpu_busy_ns", "run_delay_ns"):
        assert not snapshot.HasField(name)


def test_snapshots_of_a_pi5(pi5: BoardRoot) -> None:
    before, after = take_before(pi5), take_after(pi5)
    for snapshot in (before, after):
        assert snapshot.frequency_hz == 1_500_000_000
        assert snapshot.temperature_millicelsius == 52350
        assert snapshot.HasField("throttled_bits")
        assert not snapshot.throttled_bits
        assert not snapshot.HasField("throttle_events")
        assert snapshot.psi_cpu_some_us == 123456
        assert snapshot.run_delay_ns == 300_000
        assert snapshot.load_average_1m == 0.42
        assert snapshot.governor == "ondemand"
        assert snapshot.process_cpu_ns
    assert after.monotonic_ns > before.monotonic_ns


def test_a_64_bit_kernel_under_a_32_bit_userland(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "aarch64")
    assert facts.architecture() == "aarch64"
    monkeypatch.setattr(struct, "calcsize", lambda _format: 4)
    assert facts.architecture() == "armv7l"
