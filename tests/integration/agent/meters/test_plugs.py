"""Shelly and Tasmota plugs, as a web server on this machine that answers like them."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from threading import Event
from typing import Any

import pytest

from edgemeter_agent.meters import WALL, MeterError, Reading
from edgemeter_agent.meters import plug as plugs
from edgemeter_agent.meters.http_json import HttpFault
from edgemeter_agent.meters.plug import PlugMeter, PlugValue
from edgemeter_agent.meters.spec import open_spec, parse
from tests.integration.agent.meters.http_devices import Device, serving

# As the makers' documentation shows them.
SWITCH = {
    "id": 0,
    "source": "WS_in",
    "output": True,
    "apower": 8.9,
    "voltage": 237.5,
    "current": 0.075,
    "aenergy": {"total": 6.532, "by_minute": [45.199, 47.141, 88.397], "minute_ts": 1626935779},
    "temperature": {"tC": 53.3, "tF": 127.9},
}
GEN1_METER = {
    "power": 4.56,
    "is_valid": True,
    "timestamp": 1554123456,
    "counters": [4.5, 4.6, 4.4],
    "total": 1200,
}
TASMOTA = {
    "StatusSNS": {
        "Time": "2026-11-22T13:00:00",
        "ENERGY": {
            "TotalStartTime": "2026-01-01T00:00:00",
            "Total": 1.234,
            "Yesterday": 0.1,
            "Today": 0.05,
            "Power": 7.4,
            "Voltage": 233,
            "Current": 0.041,
        },
    }
}


@pytest.fixture
def device() -> Iterator[Device]:
    with serving(Device()) as running:
        yield running


def read(spec: str) -> Reading:
    meter = open_spec(spec)
    assert isinstance(meter, PlugMeter)
    assert (meter.description.coverage, meter.description.rate_hz) == (WALL, 1.0)
    return meter.read()


def test_a_later_shelly(device: Device) -> None:
    device.says("/shelly", {"id": "shellyplusplugs-1", "gen": 2, "model": "SNPL-00112EU", "auth_en": False})
    device.says("/rpc/Switch.GetStatus?id=0", SWITCH)
    reading = read(f"shelly:{device.address}?counter=yes")
    assert reading.total_mw == pytest.approx(8900)
    assert reading.counter_uj == pytest.approx(6.532 * 3.6e9)


def test_a_shelly_without_a_relay(device: Device) -> None:
    device.says("/shelly", {"gen": 3, "model": "S3PM-001PCEU16"})
    # what a later one answers to a component that it has not
    device.says("/rpc/Switch.GetStatus?id=1", {"code": 404, "message": "No handler"}, 404)
    device.says("/rpc/PM1.GetStatus?id=1", {"id": 1, "apower": -3.5, "aenergy": {"total": 1.0}})
    reading = read(f"shelly:{device.address}?channel=1")
    assert reading.total_mw == pytest.approx(-3500)
    # A counter of such steps is read only where it is asked for.
    assert reading.counter_uj is None


def test_a_shelly_of_the_first_generation(device: Device) -> None:
    device.says("/shelly", {"type": "SHPLG-S", "mac": "3CE90E6E1D2F", "auth": False, "fw": "20230913"})
    device.says("/meter/0", GEN1_METER)
    reading = read(f"shelly:{device.address}?counter=yes")
    assert reading.total_mw == pytest.approx(4560)
    # watt-minutes
    assert reading.counter_uj == pytest.approx(20 * 3.6e9)


def test_a_value_that_the_shelly_does_not_trust_is_a_gap(device: Device) -> None:
    device.says("/shelly", {"type": "SHPLG-S"})
    answers = itertools.chain([GEN1_METER], itertools.repeat({**GEN1_METER, "is_valid": False, "power": 0}))
    device.answers["/meter/0"] = lambda: (200, next(answers))
    reading = read(f"shelly:{device.address}")
    assert (reading.total_mw, reading.fault) == (None, "invalid")


def test_tasmota(device: Device) -> None:
    device.says("/cm?cmnd=Status%208", TASMOTA)
    reading = read(f"tasmota:{device.address}?counter=yes")
    assert reading.total_mw == pytest.approx(7400)
    assert reading.counter_uj == pytest.approx(1234 * 3.6e9)


def test_tasmota_with_a_password(device: Device) -> None:
    device.says("/cm?user=admin&password=a%26b&cmnd=Status%208", TASMOTA)
    device.says("/cm?cmnd=Status%208", {"WARNING": "Need user=<username>&password=<password>"})
    assert read(f"tasmota:{device.address}?password=a%26b").total_mw == pytest.approx(7400)
    with pytest.raises(MeterError) as refused:
        open_spec(f"tasmota:{device.address}")
    assert refused.value.code == "meter_forbidden"


def test_tasmota_of_three_phases(device: Device) -> None:
    energy = {"Power": [1.5, 2.0, 0.25], "Total": [0.5, 0.25, 0]}
    device.says("/cm?cmnd=Status%208", {"StatusSNS": {"ENERGY": energy}})
    reading = read(f"tasmota:{device.address}?counter=yes")
    assert reading.total_mw == pytest.approx(3750)
    assert reading.counter_uj == pytest.approx(750 * 3.6e9)


@pytest.mark.parametrize(
    ("answer", "status", "code", "says"),
    [
        ({"code": 401}, 401, "meter_forbidden", "asks for a password"),
        ({"no": "meter"}, 200, "meter_rubbish", "no StatusSNS.ENERGY"),
        ({"StatusSNS": {"ENERGY": {"Power": "7", "Total": 1}}}, 200, "meter_rubbish", "no number Power"),
        ({"StatusSNS": {"ENERGY": {"Power": True, "Total": 1}}}, 200, "meter_rubbish", "no number Power"),
        ({"StatusSNS": {"ENERGY": {"Power": 1}}}, 200, "meter_rubbish", "no number Total"),
        (b'{"StatusSNS": {"ENERGY": {"Power": NaN, "Total": 1}}}', 200, "meter_rubbish", "no number Power"),
        (b"<html>Login</html>", 200, "meter_rubbish", "no JSON"),
        (b"[" * 60_000, 200, "meter_rubbish", "no JSON"),
        ([1, 2], 200, "meter_rubbish", "no JSON object"),
        (b"x" * 70_000, 200, "meter_rubbish", "more than 65536 bytes"),
        ({}, 500, "meter_unreachable", "answers 500"),
        ({}, 404, "meter_unreachable", "answers 404"),
    ],
)
def test_what_no_plug_answers(device: Device, answer: Any, status: int, code: str, says: str) -> None:
    device.says("/cm?cmnd=Status%208", answer, status)
    with pytest.raises(MeterError) as refused:
        open_spec(f"tasmota:{device.address}")
    assert refused.value.code == code
    assert says in refused.value.detail
    assert refused.value.detail.startswith(f"tasmota:{device.address}")


@pytest.mark.parametrize("drip", [False, True])
def test_a_slow_plug_does_not_hold_up_the_trace(
    device: Device, monkeypatch: pytest.MonkeyPatch, drip: bool
) -> None:
    """Also one that sends a byte at a time, each in time."""
    device.says("/cm?cmnd=Status%208", TASMOTA)
    meter = open_spec(f"tasmota:{device.address}")
    assert isinstance(meter, PlugMeter)
    monkeypatch.setattr("edgemeter_agent.meters.tasmota.TIMEOUT_S", 0.3)
    device.delay_s, device.drip = (0.0, True) if drip else (1.0, False)
    reading = meter.read()
    assert (reading.total_mw, reading.fault) == (None, "timeout")


def test_nobody_there() -> None:
    with serving(Device()) as device:
        address = device.address
    with pytest.raises(MeterError, match="connection refused") as refused:
        open_spec(f"shelly:{address}")
    assert refused.value.code == "meter_unreachable"


def test_a_shelly_without_a_meter(device: Device) -> None:
    device.says("/shelly", {"gen": 2, "model": "SNSW-001X16EU"})
    device.says("/rpc/Switch.GetStatus?id=0", {"id": 0, "output": True})
    with pytest.raises(MeterError, match="no number apower"):
        open_spec(f"shelly:{device.address}")


def test_a_plug_that_stays_away_is_gone() -> None:
    """One failure is a gap; a reading in between starts the patience anew."""
    away = [False]

    def ask() -> PlugValue:
        if away[0]:
            raise HttpFault("unreachable", "no route to host")
        return PlugValue(watts=1.0, watt_hours=0.0)

    meter = PlugMeter(parse("tasmota:plug"), ask, "", patience_s=0.2)
    away[0] = True
    assert meter.read().fault == "unreachable"

    def read_for_ever() -> None:
        while True:
            meter.read()

    with pytest.raises(MeterError, match=r"tasmota:plug: no route to host, for 0\.2 s") as ended:
        read_for_ever()
    assert ended.value.code == "meter_gone"


def test_readings_come_at_its_pace_until_they_are_stopped(
    device: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plugs, "RATE_HZ", 50.0)
    device.says("/cm?cmnd=Status%208", TASMOTA)
    stop = Event()
    found = []
    for reading in open_spec(f"tasmota:{device.address}").readings(stop):
        found.append(reading)
        if len(found) == 5:
            stop.set()
    assert [reading.total_mw for reading in found] == [7400.0] * 5
    stamps = [reading.monotonic_ns for reading in found]
    assert stamps == sorted(set(stamps))
