"""`exec:` with real programs."""

from __future__ import annotations

import contextlib
import itertools
import shlex
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Event

import psutil
import pytest

from edgemeter_agent.meters import Meter, MeterError, Rail, Reading, exec_program
from edgemeter_agent.meters.spec import open_spec

STEADY = """
import time
n = 0
while True:
    print(time.monotonic_ns(), 4 + n % 3, flush=True)
    n += 1
    time.sleep(0.02)
"""


@pytest.fixture
def program(tmp_path: Path) -> Iterator[Callable[..., str]]:
    """Makes a spec of a Python program's text."""

    def make(text: str, options: str = "") -> str:
        path = tmp_path / "meter.py"
        path.write_text(text)
        return f"exec:{shlex.join([sys.executable, str(path)])}{options}"

    yield make
    assert not [
        child for child in psutil.Process().children(recursive=True) if "meter.py" in str(child.cmdline())
    ]


def take(meter: Meter, count: int) -> list[Reading]:
    stop = Event()
    found = []
    for reading in meter.readings(stop):
        found.append(reading)
        if len(found) == count:
            stop.set()
    return found


def refused(spec: str) -> MeterError:
    with pytest.raises(MeterError) as error:
        open_spec(spec)
    assert "\n" not in error.value.detail
    assert error.value.detail.startswith("exec:")
    return error.value


def test_a_program_is_read_and_ended(program: Callable[..., str]) -> None:
    before_ns = time.monotonic_ns()
    with contextlib.closing(open_spec(program(STEADY, "?coverage=wall&gain_error=0.004"))) as meter:
        readings = take(meter, 20) + take(meter, 10)
    assert [reading.total_mw for reading in readings[:4]] == [4000, 5000, 6000, 4000]
    stamps = [reading.monotonic_ns for reading in readings]
    assert stamps == sorted(set(stamps))
    assert before_ns < stamps[0] < stamps[-1] < time.monotonic_ns()
    said = meter.description
    assert (said.coverage, said.gain_error, said.kind) == ("wall", 0.004, "exec")
    assert 5 < said.rate_hz <= 51
    meter.close()


def test_rails_and_a_counter_are_described(program: Callable[..., str]) -> None:
    text = STEADY.replace("n = 0", "n = 0; print('# rails CPU -USB'); print('# counter_uj')").replace(
        "4 + n % 3", "5, 3.5, '-', n * 100000"
    )
    with contextlib.closing(open_spec(program(text))) as meter:
        first, second = take(meter, 2)
    assert meter.description.rails == (Rail(name="CPU", in_total=True), Rail(name="USB", in_total=False))
    assert meter.description.has_counter
    assert (first.rails_mw, first.counter_uj, second.counter_uj) == ((3500.0, None), 0.0, 100000.0)
    assert meter.description.coverage == exec_program.NOT_STATED
    assert "1 % assumed" in meter.description.detail


def test_a_program_that_ends_is_gone_with_its_last_word(program: Callable[..., str]) -> None:
    text = """
import sys, time
for n in range(5):
    print(time.monotonic_ns(), 4, flush=True)
    time.sleep(0.01)
print("warming up", file=sys.stderr)
print("usb: device not found", file=sys.stderr)
sys.exit(3)
"""
    meter = open_spec(program(text))
    with contextlib.closing(meter), pytest.raises(MeterError) as ended:
        take(meter, 100)
    assert ended.value.code == "meter_gone"
    assert ended.value.detail.endswith("ended with exit code 3: usb: device not found")


def test_a_program_that_is_killed_says_the_signal(program: Callable[..., str]) -> None:
    meter = open_spec(program(STEADY))
    assert isinstance(meter, exec_program.ExecMeter)
    readings = meter.readings(Event())
    list(itertools.islice(readings, 5))
    # Its guard, which is not what measures, has one child.
    psutil.Process(meter._program.pid).children()[0].kill()
    with contextlib.closing(meter), pytest.raises(MeterError, match="was ended by signal 9"):
        list(readings)


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("'4 W'", "line 6: 'W' is no number below 1e+06: '4 W'"),
        ("'x' * 5000", "line 6: a line has more than 4096 bytes"),
        ("'\\0\\x1b'", "line 6: 1 fields instead of 2"),
        ("'1795352400000000000 4'", "line 6: its stamp is"),
    ],
)
def test_rubbish_is_named_with_its_line(program: Callable[..., str], line: str, says: str) -> None:
    text = STEADY.replace("    n += 1", f"    n += 1\n    if n == 5: print({line}, flush=True)")
    meter = open_spec(program(text))
    with contextlib.closing(meter), pytest.raises(MeterError) as ended:
        take(meter, 100)
    assert ended.value.code == "meter_rubbish"
    assert says in ended.value.detail
    assert "\n" not in ended.value.detail


def test_a_stamp_that_goes_backwards_is_a_fault(program: Callable[..., str]) -> None:
    text = STEADY.replace("print(time.monotonic_ns(),", "print(time.monotonic_ns() - (n == 5) * 10**9,")
    with contextlib.closing(open_spec(program(text))) as meter:
        readings = take(meter, 8)
    assert [reading.fault for reading in readings] == ["", "", "", "", "", "stamp_backwards", "", ""]


def test_one_that_ends_at_once(program: Callable[..., str]) -> None:
    error = refused(program("import sys; sys.exit('no meter on /dev/ttyUSB0')"))
    assert error.code == "meter_gone"
    assert error.detail.endswith("ended with exit code 1: no meter on /dev/ttyUSB0")


def test_one_that_prints_nothing(program: Callable[..., str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exec_program, "START_TIMEOUT_S", 0.5)
    error = refused(program("import time; print('# starting', flush=True); time.sleep(60)"))
    assert error.code == "meter_unreachable"
    assert "printed 0 of 3 readings in 0.5 s; it must flush each line" in error.detail


def test_a_slow_one_with_its_rate_stated_needs_one_reading(program: Callable[..., str]) -> None:
    text = "import time; print(time.monotonic_ns(), 4, flush=True); time.sleep(60)"
    with contextlib.closing(open_spec(program(text, "?rate_hz=0.02&resolution_mw=100"))) as meter:
        said = meter.description
    assert (said.rate_hz, said.resolution_mw) == (0.02, 100)


def test_no_program_and_no_permission(tmp_path: Path) -> None:
    assert refused("exec:no-such-program-here 1").code == "meter_unreachable"
    plain = tmp_path / "plain"
    plain.write_text("#!/bin/sh\n")
    error = refused(f"exec:{plain}")
    assert error.code == "meter_forbidden"
    assert "chmod +x" in error.detail
    assert refused(f"exec:{tmp_path}").code == "meter_forbidden"


def test_its_children_end_with_it(program: Callable[..., str]) -> None:
    """Also one that takes no hint: SIGTERM ignored, and output of its own."""
    text = f"""
import signal, subprocess, sys
signal.signal(signal.SIGTERM, signal.SIG_IGN)
subprocess.run([sys.executable, "-c", {STEADY!r}, "grandchild of meter.py"])
"""
    meter = open_spec(program(text))
    assert isinstance(meter, exec_program.ExecMeter)
    leader = psutil.Process(meter._program.pid)
    family = [leader, *leader.children(recursive=True)]
    assert len(family) == 3
    meter.close()
    _, alive = psutil.wait_procs(family, timeout=5)
    assert alive == []


def test_a_full_error_stream_does_not_stop_it(program: Callable[..., str]) -> None:
    text = STEADY.replace("    n += 1", "    n += 1; import sys; sys.stderr.write('x' * 20000 + chr(10))")
    with contextlib.closing(open_spec(program(text))) as meter:
        assert len(take(meter, 40)) == 40


def test_reading_stops_while_the_program_says_nothing(program: Callable[..., str]) -> None:
    """It hangs: no reading, no end, and the stop is obeyed; the gap is for the energy's judge to see."""
    text = "import time\nfor n in range(3): print(time.monotonic_ns(), 4, flush=True)\ntime.sleep(60)"
    stop = Event()
    with contextlib.closing(open_spec(program(text))) as meter:
        readings = meter.readings(stop)
        assert len(list(itertools.islice(readings, 3))) == 3
        stop.set()
        assert list(readings) == []
