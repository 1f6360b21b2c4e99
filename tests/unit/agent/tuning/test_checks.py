"""What is said of a board that could be quieter, and of one that is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from edgemeter_agent.board.guard import SETTINGS
from edgemeter_agent.board.root import BoardRoot
from edgemeter_agent.tuning import CHECKS, advise, clocks, hardware, jetson, kernel, memory, services, steps
from edgemeter_agent.tuning.advice import Advice

CPU = "sys/devices/system/cpu"
POLICY0, POLICY4 = f"{CPU}/cpufreq/policy0", f"{CPU}/cpufreq/policy4"
PI = {"proc/device-tree/compatible": "raspberrypi,5-model-b\0brcm,bcm2712\0"}
ORIN = {"proc/device-tree/compatible": "nvidia,p3768-0000\0nvidia,tegra234\0"}
MODES = "< POWER_MODEL ID=0 NAME=15W >\n< POWER_MODEL ID=2 NAME=MAXN_SUPER >\n"
SWAPS = "Filename Type Size Used Priority\n/dev/zram0 partition 1000 4 100\n"

Plant = Callable[[Mapping[str, str]], BoardRoot]


@pytest.fixture
def plant(tmp_path: Path) -> Plant:
    def make(files: Mapping[str, str]) -> BoardRoot:
        for path, content in files.items():
            target = tmp_path / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(content)
            if path.startswith("bin/"):
                target.chmod(0o755)
        return BoardRoot(tmp_path)

    return make


@pytest.mark.parametrize(
    ("check", "files", "expected"),
    [
        # governor
        (clocks.governor, {}, None),
        (clocks.governor, {f"{POLICY0}/scaling_governor": "performance"}, {"quiet": True}),
        (
            clocks.governor,
            {f"{POLICY0}/scaling_governor": "ondemand", f"{POLICY4}/scaling_governor": "schedutil"},
            {
                "current": "ondemand+schedutil",
                "wanted": "performance",
                "can_be_applied": True,
                "command": f"echo performance | sudo tee /{CPU}/cpufreq/policy*/scaling_governor",
                "settings": {
                    f"{POLICY0}/scaling_governor": "performance",
                    f"{POLICY4}/scaling_governor": "performance",
                },
            },
        ),
        (
            clocks.governor,
            {
                f"{POLICY0}/scaling_governor": "userspace",
                f"{POLICY0}/scaling_available_governors": "userspace powersave",
            },
            {"can_be_applied": False, "by_hand": "this kernel offers only userspace powersave"},
        ),
        # the lowest clock: only where performance does not hold it
        (
            clocks.lowest_clock,
            {
                f"{POLICY0}/scaling_driver": "cpufreq-dt",
                f"{POLICY0}/scaling_min_freq": "600000",
                f"{POLICY0}/scaling_max_freq": "1800000",
            },
            None,
        ),
        (
            clocks.lowest_clock,
            {
                f"{POLICY0}/scaling_driver": "intel_pstate",
                f"{POLICY0}/scaling_min_freq": "600000",
                f"{POLICY0}/scaling_max_freq": "1800000",
            },
            {"settings": {f"{POLICY0}/scaling_min_freq": "1800000"}, "current": "600 MHz of 1800"},
        ),
        (
            clocks.lowest_clock,
            {
                f"{POLICY0}/scaling_available_governors": "powersave",
                f"{POLICY0}/scaling_min_freq": "600000",
                f"{POLICY0}/scaling_max_freq": "600000",
            },
            None,
        ),
        # boost
        (clocks.boost, {}, None),
        (clocks.boost, {f"{CPU}/cpufreq/boost": "0"}, {"quiet": True}),
        (
            clocks.boost,
            {f"{CPU}/intel_pstate/no_turbo": "0"},
            {"settings": {f"{CPU}/intel_pstate/no_turbo": "1"}, "current": "on"},
        ),
        (
            clocks.boost,
            {f"{POLICY0}/boost": "1", f"{POLICY4}/boost": "1"},
            {
                "settings": {f"{POLICY0}/boost": "0", f"{POLICY4}/boost": "0"},
                "command": f"echo 0 | sudo tee /{CPU}/cpufreq/policy*/boost",
            },
        ),
        # two threads a core
        (clocks.threads_of_a_core, {f"{CPU}/smt/control": "notsupported"}, None),
        (clocks.threads_of_a_core, {f"{CPU}/smt/control": "off"}, {"quiet": True}),
        (
            clocks.threads_of_a_core,
            {f"{CPU}/smt/control": "on"},
            {"settings": {f"{CPU}/smt/control": "off"}, "wanted": "off"},
        ),
        # Jetson
        (jetson.power_mode, {}, None),
        (
            jetson.power_mode,
            {"var/lib/nvpmodel/status": "pmode:0000", "etc/nvpmodel.conf": MODES},
            {"command": "sudo nvpmodel -m 2", "wanted": "MAXN_SUPER", "can_be_applied": False},
        ),
        (
            jetson.power_mode,
            {"var/lib/nvpmodel/status": "pmode:0002", "etc/nvpmodel.conf": MODES},
            {"quiet": True},
        ),
        (jetson.held_clocks, {}, None),
        (
            jetson.held_clocks,
            {
                "bin/jetson_clocks": "#!/bin/sh\n",
                f"{POLICY0}/scaling_min_freq": "729600",
                f"{POLICY0}/scaling_max_freq": "1728000",
            },
            {"wanted": "on", "can_be_applied": True},
        ),
        (
            jetson.held_clocks,
            {
                "bin/jetson_clocks": "#!/bin/sh\n",
                f"{POLICY0}/scaling_min_freq": "1728000",
                f"{POLICY0}/scaling_max_freq": "1728000",
            },
            {"quiet": True},
        ),
        # swap
        (memory.swap, {}, {"quiet": True, "current": "none"}),
        (
            memory.swap,
            {
                "proc/swaps": SWAPS,
                "proc/meminfo": "MemAvailable: 900000 kB\nSwapTotal: 102400 kB\nSwapFree: 98304 kB\n",
            },
            {
                "command": "sudo swapoff /dev/zram0",
                "can_be_applied": True,
                "current": "/dev/zram0, 4 MiB used",
            },
        ),
        # bringing it back would take the memory that there is
        (
            memory.swap,
            {
                "proc/swaps": SWAPS,
                "proc/meminfo": "MemAvailable: 90000 kB\nSwapTotal: 102400 kB\nSwapFree: 0 kB\n",
            },
            {
                "can_be_applied": False,
                "by_hand": "100 MiB are swapped out and 87 MiB available: free memory first",
            },
        ),
        # the layout of memory stays random
        (memory.address_layout, {}, None),
        (memory.address_layout, {memory.RANDOMIZE: "2\n"}, {"quiet": True}),
        (
            memory.address_layout,
            {memory.RANDOMIZE: "0\n"},
            {"current": "fixed", "settings": {memory.RANDOMIZE: "2"}},
        ),
        # the kernel's command line
        (kernel.pressure, {"proc/pressure/cpu": "some avg10=0.00 total=5\n"}, {"quiet": True}),
        (
            kernel.pressure,
            {"boot/firmware/cmdline.txt": "console=tty1 root=PARTUUID=1-02 rootwait\n"},
            {
                "command": "sudo sed -i '1s/$/ psi=1/' /boot/firmware/cmdline.txt && sudo reboot",
                "by_hand": "takes a reboot",
            },
        ),
        (
            kernel.pressure,
            {"boot/extlinux/extlinux.conf": "LABEL primary\n      APPEND ${cbootargs} quiet\n"},
            {"command": "sudo sed -i '/^ *APPEND /s/$/ psi=1/' /boot/extlinux/extlinux.conf && sudo reboot"},
        ),
        (kernel.pressure, {}, {"command": "add psi=1 to the kernel's command line, and reboot"}),
        (lambda board: kernel.isolation(board, 2), {}, None),
        (lambda board: kernel.isolation(board, 4), {}, {"wanted": "3, for --affinity 3"}),
        (lambda board: kernel.isolation(board, 4), {f"{CPU}/isolated": "2-3\n"}, {"quiet": True}),
        # other programs
        (services.background_services, {"proc/1/comm": "systemd\n"}, {"quiet": True}),
        (
            services.background_services,
            {"proc/9/comm": "unattended-upgr\n", "proc/12/comm": "packagekitd\n"},
            {
                "command": "sudo systemctl stop packagekit.service unattended-upgrades.service",
                "can_be_applied": True,
            },
        ),
        (services.desktop, {"proc/1/comm": "systemd\n"}, None),
        (services.desktop, {"proc/8/comm": "labwc\n"}, {"current": "labwc", "can_be_applied": False}),
        # the supply
        (hardware.supply, {}, None),
        (hardware.supply, {**PI, "bin/vcgencmd": "#!/bin/sh\necho throttled=0x0\n"}, {"quiet": True}),
        (
            hardware.supply,
            {**PI, "bin/vcgencmd": "#!/bin/sh\necho throttled=0x10000\n"},
            {"current": "unknown, under-voltage since boot", "can_be_applied": False},
        ),
        # cooling
        (hardware.cooling, {}, None),
        (
            hardware.cooling,
            {
                **ORIN,
                "sys/class/hwmon/hwmon0/name": "pwmfan\n",
                "sys/class/thermal/thermal_zone0/type": "cpu-thermal\n",
                "sys/class/thermal/thermal_zone0/temp": "48468\n",
            },
            {"quiet": True, "current": "48 °C, fan"},
        ),
        (
            hardware.cooling,
            {
                **PI,
                "sys/class/thermal/thermal_zone0/type": "cpu-thermal\n",
                "sys/class/thermal/thermal_zone0/temp": "71000\n",
                "bin/vcgencmd": "#!/bin/sh\necho throttled=0x80000\n",
            },
            {"current": "71 °C, no fan that it knows of, slowed down since boot", "by_hand": "hardware"},
        ),
    ],
)
def test_advice(
    plant: Plant,
    check: Callable[[BoardRoot], Advice | None],
    files: dict[str, str],
    expected: dict[str, Any] | None,
) -> None:
    advice = check(plant(files))
    if expected is None:
        assert advice is None
        return
    assert advice is not None
    assert {name: getattr(advice, name) for name in expected} == expected
    assert advice.why
    # A noisy one says what to do, and either it can be applied or why not.
    assert advice.quiet or (advice.command and (advice.can_be_applied or advice.by_hand))
    # What would be changed is allowed, and can be undone.
    assert all(SETTINGS.fullmatch(path) for path in advice.settings)
    assert all(step.kind in steps.KINDS for step in advice.steps)
    assert all(steps.KINDS[step.kind].is_known(step.what) for step in advice.steps)


def test_a_pi5_with_a_weak_supply(plant: Plant) -> None:
    board = plant(PI)
    promised = board.path("proc/device-tree/chosen/power/max_current")
    promised.parent.mkdir(parents=True)
    promised.write_bytes((3000).to_bytes(4, "big"))
    advice = hardware.supply(board)
    assert advice is not None
    assert (advice.current, advice.wanted) == ("3000 mA", "5000 mA")


def test_who_is_busy_is_named_and_we_are_not(plant: Plant) -> None:
    import os

    def stat(name: str, ticks: int, parent: int = 1) -> str:
        return f"5 ({name}) S {parent} " + "0 " * 9 + f"{ticks} 0 0\n"

    ours, parent = os.getpid(), os.getppid()
    quiet = {"proc/20/stat": stat("calm", 7), "proc/20/comm": "calm\n", "proc/30/stat": stat("hog", 100)}
    harness = {f"proc/{ours}/stat": stat("doctor", 0, parent), f"proc/{parent}/stat": stat("sudo", 0)}
    board = plant({**quiet, **harness, "proc/30/comm": "hog\n"})

    def work(_seconds: float) -> None:
        # 40 of 100 ticks: 40 % of a processor
        board.path("proc/30/stat").write_text(stat("hog", 140))
        board.path("proc/20/stat").write_text(stat("calm", 11))
        for pid in (ours, parent):
            board.path(f"proc/{pid}/stat").write_text(stat("us", 90, parent if pid == ours else 1))

    advice = services.busy_processes(board, work)
    assert advice.current == "hog (30) 40% of a processor"
    assert advice.command == "sudo kill 30"
    assert not advice.can_be_applied
    assert services.busy_processes(board, lambda _seconds: None).quiet


def test_all_checks_of_a_bare_board_and_of_this_one(plant: Plant, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(services, "PROBE_S", 0.01)
    for board in (plant({}), BoardRoot()):
        advices = advise(board)
        assert {"swap", "psi", "background services", "busy processes"} <= {advice.name for advice in advices}
        assert len(advices) <= len(CHECKS)
