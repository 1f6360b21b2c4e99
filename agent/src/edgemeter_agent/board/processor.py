"""Processor clocks and how processor time was spent."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from edgemeter_agent.board import mailbox
from edgemeter_agent.board.root import BoardRoot, Reading, reason

CPUFREQ = "sys/devices/system/cpu/cpufreq"
KHZ = 1000
SECOND_NS = 1_000_000_000

ARM = "arm"
"""The clock that a Raspberry Pi's firmware measured."""


@dataclass(frozen=True, kw_only=True)
class ProcessorTimes:
    """Summed since boot over all processors, or over those that were asked for."""

    busy_ns: int
    steal_ns: int


def frequency_hz(board: BoardRoot) -> Reading[int]:
    """Clock of the processor that the caller last ran on; where that isn't known, the fastest of all."""
    clocks = clocks_hz(board)
    if clocks.value is None:
        return Reading(value=None, detail=clocks.detail)
    return Reading(value=own_clock(board, clocks.value), detail=clocks.detail)


def clocks_hz(board: BoardRoot) -> Reading[dict[str, int]]:
    """Each cpufreq policy's clock, "policy0", "policy4", and a Raspberry Pi's measured one, "arm".

    cpuinfo_cur_freq is what the hardware says, and the only one to show a Jetson's over-current throttling;
    it is often for root alone. scaling_cur_freq is what the governor asked for: on a Raspberry Pi it hides
    that the firmware throttles (raspberrypi/linux issue 2512), so there the firmware is asked to measure,
    where its mailbox is open to us. `vcgencmd` would do the same and start a process, milliseconds that no
    snapshot has.
    """
    policies = board.glob(f"{CPUFREQ}/policy*")
    clocks: dict[str, int] = {}
    source = ""
    for name in ("cpuinfo_cur_freq", "scaling_cur_freq"):
        for policy in policies:
            number = policy.rpartition("/")[2]
            clock = None if number in clocks else board.number_or_none(f"{policy}/{name}")
            if clock:
                clocks[number], source = clock * KHZ, source or f"cpufreq {name}"
    measured = _measured_clock(board)
    if measured:
        clocks[ARM], source = measured, "the firmware's measure_clock arm"
    if clocks:
        return Reading(value=clocks, detail=source)
    if not policies:
        return Reading(
            value=None, detail=f"no /{CPUFREQ}/policy*: this kernel does not show processor clocks"
        )
    return Reading(
        value=None, detail=f"/{policies[0]}: neither cpuinfo_cur_freq nor scaling_cur_freq is readable"
    )


def own_clock(board: BoardRoot, clocks: Mapping[str, int]) -> int:
    """Of `clocks_hz`, the one of the processor that the caller last ran on, or the fastest."""
    if ARM in clocks:
        return clocks[ARM]
    own = _own_policy(board) if len(clocks) > 1 else None
    return clocks[own] if own is not None and own in clocks else max(clocks.values())


def _measured_clock(board: BoardRoot) -> int | None:
    """ "frequency(0)=2400033792"."""
    try:
        said = mailbox.ask(board, "measure_clock arm")
    except OSError:
        return None
    found = re.fullmatch(r"frequency\(\d+\)=(\d+)", said)
    return int(found[1]) if found else None


def _own_policy(board: BoardRoot) -> str | None:
    """The policy of the processor that this process last ran on: field 39 of /proc/self/stat (proc(5))."""
    stat = board.text_or_none("proc/self/stat")
    if stat is None:
        return None
    # The command's name, in brackets, may hold blanks and brackets itself.
    fields = stat.rpartition(")")[2].split()
    if len(fields) < 37:
        return None
    for policy in board.glob(f"{CPUFREQ}/policy*"):
        members = board.text_or_none(f"{policy}/affected_cpus")
        if members is not None and fields[36] in members.split():
            return policy.rpartition("/")[2]
    return None


def governor(board: BoardRoot) -> Reading[str]:
    """The cpufreq governor; where clusters differ, all of them."""
    policies = board.glob(f"{CPUFREQ}/policy*")
    names = [board.text_or_none(f"{policy}/scaling_governor") for policy in policies]
    distinct = sorted({name for name in names if name})
    if not distinct:
        return Reading(value=None, detail=f"no /{CPUFREQ}/policy*/scaling_governor")
    return Reading(value="+".join(distinct), detail="cpufreq scaling_governor")


def times(board: BoardRoot, cpus: Collection[int] = ()) -> Reading[ProcessorTimes]:
    """Of all processors, or of `cpus`, from /proc/stat, in ticks of 10 ms on most kernels. Waiting for I/O
    counts as idle; guests' time is already in user's (proc(5))."""
    try:
        # What comes after is as long as there are interrupts.
        lines = board.text("proc/stat").partition("\nintr")[0].splitlines()
    except OSError as error:
        return Reading(value=None, detail=reason(error, "/proc/stat"))
    if not lines:
        return Reading(value=None, detail="/proc/stat is empty")
    if lines[0].split()[0] != "cpu":
        return Reading(value=None, detail="/proc/stat: its first line is not the processors' sum")
    wanted = {f"cpu{cpu}" for cpu in cpus} or {"cpu"}
    busy = steal = 0
    for line in lines:
        name, *fields = line.split()
        if name not in wanted:
            continue
        wanted.discard(name)
        try:
            ticks = [int(field) for field in fields]
        except ValueError as error:
            return Reading(value=None, detail=reason(error, "/proc/stat"))
        if len(ticks) < 7:
            return Reading(value=None, detail=f"/proc/stat: its line {name} has fewer than seven numbers")
        user, nice, system, _idle, _iowait, irq, softirq, *more = ticks
        busy += user + nice + system + irq + softirq
        steal += more[0] if more else 0
        if not wanted:
            break
    if wanted:
        return Reading(value=None, detail=f"/proc/stat has no line {min(wanted)}")
    value = ProcessorTimes(busy_ns=busy * tick_ns(), steal_ns=steal * tick_ns())
    return Reading(value=value, detail="/proc/stat")


def own_cpus() -> tuple[int, ...]:
    """Processors that the calling process may use, empty where that is all of them (sched_setaffinity(2))."""
    allowed = sorted(os.sched_getaffinity(0))
    return () if len(allowed) >= (os.cpu_count() or 1) else tuple(allowed)


def tick_ns() -> int:
    """The unit of /proc/stat."""
    return SECOND_NS // os.sysconf("SC_CLK_TCK")


def load_average(board: BoardRoot) -> Reading[float]:
    try:
        return Reading(value=float(board.text("proc/loadavg").split()[0]), detail="/proc/loadavg")
    except (OSError, ValueError) as error:
        return Reading(value=None, detail=reason(error, "/proc/loadavg"))
    except IndexError:
        return Reading(value=None, detail="/proc/loadavg is empty")


def pressure_some_us(board: BoardRoot) -> Reading[int]:
    """Time for which at least one task waited for a processor (Documentation/accounting/psi.rst)."""
    try:
        lines = board.text("proc/pressure/cpu").splitlines()
    except OSError as error:
        return Reading(
            value=None, detail=reason(error, "/proc/pressure/cpu (kernel without PSI, or psi=1 needed)")
        )
    for line in lines:
        kind, _, rest = line.partition(" ")
        fields = dict(field.partition("=")[::2] for field in rest.split())
        if kind == "some" and fields.get("total", "").isdigit():
            return Reading(value=int(fields["total"]), detail="/proc/pressure/cpu")
    return Reading(value=None, detail="/proc/pressure/cpu: no line 'some' with a total")


def run_delays_ns(board: BoardRoot) -> Reading[dict[int, int]]:
    """For each of the caller's threads, the time that it was ready and waited for a processor: the second
    number of /proc/self/task/*/schedstat (Documentation/scheduler/sched-stats.rst)."""
    delays: dict[int, int] = {}
    tasks = [name for name in board.names("proc/self/task") if name.isdigit()]
    for task in tasks:
        path = f"proc/self/task/{task}/schedstat"
        try:
            delays[int(task)] = int(board.text(path).split()[1])
        except FileNotFoundError:
            continue  # a thread that ended meanwhile, or no statistics at all
        except (OSError, ValueError) as error:
            return Reading(value=None, detail=reason(error, f"/{path}"))
        except IndexError:
            return Reading(value=None, detail=f"/{path}: fewer than two numbers")
    if not delays:
        return Reading(value=None, detail="no /proc/self/schedstat: kernel without scheduler statistics")
    return Reading(value=delays, detail="/proc/self/task/*/schedstat")


def run_delay_ns(board: BoardRoot) -> Reading[int]:
    """`run_delays_ns`, summed over the threads."""
    delays = run_delays_ns(board)
    return Reading(value=None if delays.value is None else sum(delays.value.values()), detail=delays.detail)
