"""Processor clocks and how processor time was spent."""

from __future__ import annotations

import os
from dataclasses import dataclass

from edgemeter_agent.board.root import BoardRoot, Reading, reason

CPUFREQ = "sys/devices/system/cpu/cpufreq"
KHZ = 1000
SECOND_NS = 1_000_000_000


@dataclass(frozen=True, kw_only=True)
class ProcessorTimes:
    """Summed over all processors since boot."""

    busy_ns: int
    steal_ns: int


def frequency_hz(board: BoardRoot) -> Reading[int]:
    """Clock of the processor that the caller last ran on; where that isn't known, the fastest of all.

    cpuinfo_cur_freq is what the hardware says, and the only one to show a Jetson's over-current throttling;
    it is often for root alone. scaling_cur_freq is what the governor asked for.
    """
    policies = board.glob(f"{CPUFREQ}/policy*")
    if not policies:
        return Reading(
            value=None, detail=f"no /{CPUFREQ}/policy*: this kernel does not show processor clocks"
        )
    own = _own_policy(board, policies)
    for name in ("cpuinfo_cur_freq", "scaling_cur_freq"):
        clocks = [board.number_or_none(f"{policy}/{name}") for policy in ([own] if own else policies)]
        known = [clock for clock in clocks if clock]
        if known:
            return Reading(value=max(known) * KHZ, detail=f"cpufreq {name}")
    return Reading(
        value=None, detail=f"/{policies[0]}: neither cpuinfo_cur_freq nor scaling_cur_freq is readable"
    )


def _own_policy(board: BoardRoot, policies: list[str]) -> str | None:
    """The policy of the processor that this process last ran on: field 39 of /proc/self/stat (proc(5))."""
    stat = board.text_or_none("proc/self/stat")
    if stat is None:
        return None
    # The command's name, in brackets, may hold blanks and brackets itself.
    fields = stat.rpartition(")")[2].split()
    if len(fields) < 37:
        return None
    for policy in policies:
        members = board.text_or_none(f"{policy}/affected_cpus")
        if members is not None and fields[36] in members.split():
            return policy
    return None


def governor(board: BoardRoot) -> Reading[str]:
    """The cpufreq governor; where clusters differ, all of them."""
    policies = board.glob(f"{CPUFREQ}/policy*")
    names = [board.text_or_none(f"{policy}/scaling_governor") for policy in policies]
    distinct = sorted({name for name in names if name})
    if not distinct:
        return Reading(value=None, detail=f"no /{CPUFREQ}/policy*/scaling_governor")
    return Reading(value="+".join(distinct), detail="cpufreq scaling_governor")


def times(board: BoardRoot) -> Reading[ProcessorTimes]:
    """From /proc/stat, in ticks of 10 ms on most kernels. Waiting for I/O counts as idle; guests' time is
    already in user's (proc(5))."""
    try:
        line = board.text("proc/stat").splitlines()[0]
        name, *fields = line.split()
        ticks = [int(field) for field in fields]
    except (OSError, ValueError, IndexError) as error:
        told = reason(error, "/proc/stat") if not isinstance(error, IndexError) else "/proc/stat is empty"
        return Reading(value=None, detail=told)
    if name != "cpu" or len(ticks) < 7:
        return Reading(value=None, detail="/proc/stat: its first line is not the processors' sum")
    user, nice, system, _idle, _iowait, irq, softirq, *more = ticks
    value = ProcessorTimes(
        busy_ns=(user + nice + system + irq + softirq) * tick_ns(),
        steal_ns=(more[0] if more else 0) * tick_ns(),
    )
    return Reading(value=value, detail="/proc/stat")


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


def run_delay_ns(board: BoardRoot) -> Reading[int]:
    """Time that the caller's threads were ready and waited for a processor: the second number of
    /proc/self/task/*/schedstat (Documentation/scheduler/sched-stats.rst)."""
    total = 0
    tasks = board.glob("proc/self/task/*/schedstat")
    if not tasks:
        return Reading(value=None, detail="no /proc/self/schedstat: kernel without scheduler statistics")
    for task in tasks:
        try:
            total += int(board.text(task).split()[1])
        except FileNotFoundError:
            continue  # a thread that ended meanwhile
        except (OSError, ValueError) as error:
            return Reading(value=None, detail=reason(error, f"/{task}"))
        except IndexError:
            return Reading(value=None, detail=f"/{task}: fewer than two numbers")
    return Reading(value=total, detail="/proc/self/task/*/schedstat")
