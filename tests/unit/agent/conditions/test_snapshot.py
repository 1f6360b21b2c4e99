"""Everything that a board shows, in one message."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from edgemeter_agent.board.root import BoardRoot, SteadyRoot
from edgemeter_agent.conditions.setting import take_setting
from edgemeter_agent.conditions.snapshot import take_after, take_before

CPUFREQ = "sys/devices/system/cpu/cpufreq"
FILES = {
    "proc/stat": "cpu 100 0 0 0 0 0 0 5\ncpu0 10 0 0 0 0 0 0 1\ncpu3 40 0 0 0 0 0 0 2\n",
    "proc/self/task/5/schedstat": "0 300 0\n",
    "proc/self/task/6/schedstat": "0 700 0\n",
    "proc/meminfo": "SwapTotal: 100 kB\nSwapFree: 90 kB\n",
    "proc/vmstat": "pswpin 3\npswpout 4\n",
    "sys/class/thermal/thermal_zone0/type": "cpu-thermal\n",
    "sys/class/thermal/thermal_zone0/temp": "48468\n",
    "sys/class/thermal/thermal_zone1/type": "cv0-thermal\n",
    "sys/class/thermal/thermal_zone1/temp": "",
    "sys/class/thermal/thermal_zone2/type": "tj-thermal\n",
    "sys/class/thermal/thermal_zone2/temp": "49156\n",
    f"{CPUFREQ}/policy0/scaling_cur_freq": "1728000\n",
    f"{CPUFREQ}/policy0/scaling_governor": "schedutil\n",
    f"{CPUFREQ}/policy4/scaling_cur_freq": "1510000\n",
    f"{CPUFREQ}/policy4/scaling_governor": "schedutil\n",
    f"{CPUFREQ}/boost": "1\n",
    "sys/class/devfreq/17000000.gpu/cur_freq": "1020000000\n",
    "sys/class/hwmon/hwmon3/name": "soctherm_oc\n",
    "sys/class/hwmon/hwmon3/oc1_event_cnt": "1\n",
    "sys/class/hwmon/hwmon3/oc2_event_cnt": "4\n",
    "sys/class/hwmon/hwmon3/oc3_event_cnt": "200\n",
    "var/lib/nvpmodel/status": "pmode:0002\n",
    "etc/nvpmodel.conf": "< POWER_MODEL ID=2 NAME=MAXN_SUPER >\n",
    "dev/nvmap": "",
    "proc/77/stat": "77 (gnome-shell) S 1 1\n",
}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name, content in FILES.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    (tmp_path / "proc/77/fd").mkdir()
    (tmp_path / "proc/77/fd/5").symlink_to("/dev/nvmap")
    return tmp_path


@pytest.mark.parametrize("kind", [BoardRoot, SteadyRoot])
@pytest.mark.parametrize("take", [take_before, take_after])
def test_a_jetson(root: Path, kind: type[BoardRoot], take: Callable[..., object]) -> None:
    seen = take(kind(root), (3,))
    tick_ns = 10**9 // os.sysconf("SC_CLK_TCK")
    assert dict(seen.zones_millicelsius) == {"cpu-thermal": 48468, "tj-thermal": 49156}  # type: ignore[attr-defined]
    expected = {
        "temperature_millicelsius": 48468,
        "clocks_hz": {"policy0": 1_728_000_000, "policy4": 1_510_000_000},
        "frequency_hz": 1_728_000_000,
        "boost": True,
        "power_mode": "MAXN_SUPER",
        "governor": "schedutil",
        "swap_used_bytes": 10 * 1024,
        "swapped_pages": 7,
        "throttle_events": 5,
        "current_events": 200,
        "accelerator_frequency_hz": 1_020_000_000,
        "cpu_busy_ns": 40 * tick_ns,
        "cpu_steal_ns": 2 * tick_ns,
        "run_delay_ns": 1000,
        "thread_run_delay_ns": {5: 300, 6: 700},
    }
    assert {name: getattr(seen, name) for name in expected} == expected
    assert seen.HasField("realtime_offset_ns")  # type: ignore[attr-defined]
    # milliseconds: of the setting
    assert not seen.HasField("accelerator_users")  # type: ignore[attr-defined]


def test_who_else_holds_the_accelerator_is_counted_where_it_is_used(root: Path) -> None:
    board = BoardRoot(root)
    assert take_after(board, uses_accelerator=True).accelerator_users == 1
    assert take_setting(board, uses_accelerator=True).accelerator_users == 1
    assert not take_setting(board).HasField("accelerator_users")


def test_a_setting(root: Path) -> None:
    promised = root / "proc/device-tree/chosen/power/max_current"
    promised.parent.mkdir(parents=True)
    promised.write_bytes((5000).to_bytes(4, "big"))
    setting = take_setting(BoardRoot(root))
    assert setting.supply_max_ma == 5000
    assert (setting.power_mode, setting.boost, setting.governor) == ("MAXN_SUPER", True, "schedutil")
    assert not setting.HasField("supply_mv")
