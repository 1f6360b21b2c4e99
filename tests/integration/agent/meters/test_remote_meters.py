"""A meter of another process, whose clock is another."""

from __future__ import annotations

import contextlib
import itertools
import json
import math
import socket
import threading
from collections.abc import Callable, Iterator
from threading import Event

import pytest

from edgemeter_agent.meters import WALL, MeterError, Rail, Reading
from edgemeter_agent.meters.remote import RemoteMeter
from edgemeter_agent.meters.remote_lines import MAX_SERVER_LINE_BYTES
from edgemeter_agent.meters.spec import open_spec, parse
from tests.integration.agent.meters.shifted import Shifted
from tests.integration.agent.meters.shifted_server import MODULUS_NS

Start = Callable[..., Shifted]


def take(meter: RemoteMeter, count: int) -> list[Reading]:
    stop = Event()
    found = []
    for reading in meter.readings(stop):
        found.append(reading)
        if len(found) == count:
            stop.set()
    return found


def true_ns(reading: Reading) -> float:
    """When it was made, modulo: that is what its power says."""
    assert reading.total_mw is not None
    return reading.total_mw * 1e6


def error_ns(reading: Reading) -> float:
    difference = (reading.monotonic_ns - true_ns(reading)) % MODULUS_NS
    return (difference + MODULUS_NS / 2) % MODULUS_NS - MODULUS_NS / 2


@pytest.mark.parametrize(
    ("offset_ns", "drift"),
    [(0, 0.0), (7_200_000_000_000_123, 0.0), (-3_000_000_000_000, 60e-6), (10**17, -60e-6)],
)
def test_the_other_clock_is_recovered_within_half_a_round_trip(
    shifted: Start, offset_ns: int, drift: float
) -> None:
    with contextlib.closing(shifted(offset_ns, drift).connect()) as meter:
        readings = [reading for reading in take(meter, 600) if reading.total_mw is not None]
        found = meter.alignment
        stated_ns = meter.alignment_ns
    errors_ns = [error_ns(reading) for reading in readings]
    # What a comparison can't see: that one way took longer. Kept exchanges had round trips of at least
    # rtt_ns; those of busy moments are longer, by what the scatter in residual_ns says.
    assert max(map(abs, errors_ns)) <= max(found.rtt_ns, 8 * found.residual_ns)
    rms_ns = math.sqrt(sum(error**2 for error in errors_ns) / len(errors_ns))
    assert rms_ns <= found.rtt_ns / 2 + 2 * found.residual_ns
    # The meter's own 1000 ns are in what is stated, and what may drift until the next comparison.
    drifting_ns = found.drift_uncertainty * 0.25e9
    assert stated_ns == pytest.approx(math.hypot(found.residual_ns, drifting_ns, 1000.0), rel=0.01)
    stamps = [reading.monotonic_ns for reading in readings]
    assert stamps == sorted(set(stamps))


def test_what_the_other_says_of_its_meter(shifted: Start) -> None:
    with contextlib.closing(shifted(token="a-b.c").connect("a-b.c")) as meter:
        said = meter.description
        readings = take(meter, 60)
    assert (said.coverage, said.lag_s, said.rate_hz, said.kind) == (WALL, 0.25, 200.0, "remote")
    assert said.rails == (Rail(name="A", in_total=True),)
    assert said.detail.startswith("clock at remote:127.0.0.1:")
    assert [reading.fault for reading in readings].count("EAGAIN") >= 1
    good = [reading for reading in readings if reading.total_mw is not None]
    counters = [reading.counter_uj for reading in good if reading.counter_uj is not None]
    assert counters == sorted(set(counters))
    assert len(counters) == len(good)
    assert all(reading.rails_mw == (None,) for reading in good)


def test_the_spec_overrules_and_is_named_by_host_and_port(shifted: Start) -> None:
    port = shifted(token="t").port
    with contextlib.closing(open_spec(f"remote:127.0.0.1:{port}?token=t&coverage=board")) as meter:
        assert (meter.description.coverage, meter.description.name) == ("board", f"remote:127.0.0.1:{port}")


def test_it_can_be_read_again(shifted: Start) -> None:
    with contextlib.closing(shifted().connect()) as meter:
        first = take(meter, 5)
        assert len(list(itertools.islice(meter.readings(Event()), 3))) == 3
        last = take(meter, 5)
        bursts = len(meter._kept)
    assert last[0].monotonic_ns > first[-1].monotonic_ns
    # One at the opening, one before and one after each of three times of reading.
    assert bursts >= 7


def test_several_read_one_meter(shifted: Start) -> None:
    server = shifted()
    meters = [server.connect() for _ in range(4)]
    counts: dict[int, list[Reading]] = {}

    def read(number: int) -> None:
        counts[number] = take(meters[number], 50)

    threads = [threading.Thread(target=read, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for meter in meters:
        meter.close()
    assert [len(counts[number]) for number in range(4)] == [50] * 4


@pytest.mark.parametrize("token", ["", "wrong", "righ", "rightt"])
def test_a_wrong_token_is_forbidden(shifted: Start, token: str) -> None:
    with pytest.raises(MeterError) as refused:
        shifted(token="right").connect(token)
    assert (refused.value.code, "wrong token" in refused.value.detail) == ("meter_forbidden", True)


def test_a_meter_that_fails_there_is_named_here(shifted: Start) -> None:
    meter = shifted(fail_after=300).connect()
    with contextlib.closing(meter), pytest.raises(MeterError) as ended:
        take(meter, 10_000)
    assert ended.value.code == "meter_gone"
    assert ended.value.detail.endswith("the clock has stopped")


def test_nobody_there() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(
        MeterError, match="connection refused; is `edgemeter-agent meter serve` running"
    ) as refused:
        open_spec(f"remote:127.0.0.1:{port}")
    assert refused.value.code == "meter_unreachable"


HELLO = "hello " + json.dumps(
    {
        "name": "n", "kind": "k", "coverage": "wall", "rails": [], "rate_hz": 10.0, "resolution_mw": 1.0,
        "gain_error": 0.0, "offset_error_mw": 0.0, "lag_s": 0.0, "has_counter": False, "detail": "",
        "alignment_ns": 0.0,
    }
)  # fmt: skip


@contextlib.contextmanager
def false_server(answers: Callable[[str], str | None]) -> Iterator[int]:
    """Answers each line of one client by `answers`; None hangs up. Gives its port."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        connection, _ = listener.accept()
        with connection, connection.makefile("r") as lines, contextlib.suppress(OSError):
            for line in lines:
                answer = answers(line.strip())
                if answer is None:
                    return
                connection.sendall(answer.encode())

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield listener.getsockname()[1]
    finally:
        with contextlib.suppress(OSError):
            # Where nobody came.
            socket.create_connection(listener.getsockname(), 1).close()
        thread.join()
        listener.close()


def honest(line: str) -> str:
    """A server that is all right."""
    word, *rest = line.split()
    if word == "hello":
        return f"{HELLO}\n"
    return f"time {rest[0]} {rest[0]} {rest[0]}\n" if word == "time" else ""


@pytest.mark.parametrize(
    ("word", "answer", "code", "says"),
    [
        ("hello", "HTTP/1.1 400 Bad Request\n", "meter_rubbish", "instead of hello"),
        ("hello", "hello {}\n", "meter_rubbish", "describes no meter"),
        ("hello", "x" * (MAX_SERVER_LINE_BYTES + 2), "meter_rubbish", "has more than 16384 bytes"),
        (
            "hello",
            "refused meter_rubbish this server speaks version 2\n",
            "meter_rubbish",
            "speaks version 2",
        ),
        ("hello", None, "meter_gone", "closed the connection"),
        ("hello", "", "meter_unreachable", "does not answer; is it a meter?"),
        ("time", "", "meter_gone", "has not answered for 0.3 s"),
        ("time", None, "meter_gone", "closed the connection"),
        ("time", "time 1\n", "meter_rubbish", "no answer with 3 times"),
        ("start", "power 5 W\n", "meter_rubbish", "no reading of 0 rails"),
        ("start", "r 1 5 - 7\n", "meter_rubbish", "no reading of 0 rails"),
        ("start", "gone meter_gone unplugged\n", "meter_gone", "unplugged"),
        ("start", None, "meter_gone", "closed the connection"),
    ],
)
def test_what_is_no_server(word: str, answer: str | None, code: str, says: str) -> None:
    def answers(line: str) -> str | None:
        return answer if line.startswith(word) else honest(line)

    def read(port: int) -> None:
        meter = RemoteMeter(parse(f"remote:127.0.0.1:{port}"), ("127.0.0.1", port), "", timeout_s=0.3)
        with contextlib.closing(meter):
            take(meter, 1)

    with false_server(answers) as port, pytest.raises(MeterError) as ended:
        read(port)
    assert ended.value.code == code
    assert says in ended.value.detail
    assert ended.value.detail.startswith(f"remote:127.0.0.1:{port}")


def test_a_server_that_answers_before_it_was_asked() -> None:
    def answers(line: str) -> str:
        word, *rest = line.split()
        return f"time {rest[0]} 200 100\n" if word == "time" else honest(line)

    with (
        false_server(answers) as port,
        pytest.raises(MeterError, match="no possible exchange of times") as ended,
    ):
        RemoteMeter(parse(f"remote:127.0.0.1:{port}"), ("127.0.0.1", port), "", timeout_s=2)
    assert ended.value.code == "meter_rubbish"
