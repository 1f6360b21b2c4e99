from __future__ import annotations

import importlib.util
import math

import pytest

from edgemeter_agent.meters import WALL, MeterError
from edgemeter_agent.meters.scpi import ScpiMeter
from edgemeter_agent.meters.scpi_link import SocketLink, VisaLink
from edgemeter_agent.meters.spec import open_spec, parse
from tests.integration.agent.meters.instruments import Instrument, Yokogawa, connected


def read_for_ever(meter: ScpiMeter) -> None:
    while True:
        meter.read()


def opened(text: str) -> ScpiMeter:
    meter = open_spec(text)
    assert isinstance(meter, ScpiMeter)
    return meter


@pytest.mark.parametrize("resource", ["127.0.0.1:{}", "TCPIP0::127.0.0.1::{}::SOCKET"])
def test_a_yokogawa_is_set_up_and_read(resource: str) -> None:
    with connected(Yokogawa()) as instrument:
        meter = opened(f"scpi:{resource.format(instrument.port)}")
        said = meter.description
        assert said.coverage == WALL
        assert said.rate_hz == pytest.approx(10.0)
        assert "YOKOGAWA,WT310E" in said.detail
        # 0.05 % of 300 V x 0.5 A
        assert said.offset_error_mw == pytest.approx(75 / math.sqrt(3))
        assert said.gain_error == pytest.approx(0.001 / math.sqrt(3))
        assert meter.read().total_mw == pytest.approx(12345)
        instrument.watts = "-0.5E-03"
        assert meter.read().total_mw == pytest.approx(-0.5)
        meter.close()
    assert ":NUMERIC:NORMAL:ITEM1 P,1" in instrument.commands


@pytest.mark.parametrize(
    ("watts", "fault"),
    [
        ("NAN", "no_data"),
        ("INF", "over_range"),
        ("9.9E+37", "over_range"),
        ("9.91E+37", "no_data"),
        ("ERR", "rubbish"),
    ],
)
def test_what_is_no_power_makes_a_gap(watts: str, fault: str) -> None:
    with connected(Yokogawa()) as instrument:
        meter = opened(f"scpi:127.0.0.1:{instrument.port}")
        instrument.watts = watts
        reading = meter.read()
        meter.close()
    assert (reading.total_mw, reading.fault) == (None, fault)


def test_a_generic_analyser() -> None:
    answers = {"*IDN?": "ACME,PA1,0,1.0", "MEAS:POW?": "4.2", "FETC:POW:ACT?": "+7.50E+00,W"}
    with connected(Instrument(answers.get)) as instrument:
        meter = opened(f"scpi:127.0.0.1:{instrument.port}")
        assert meter.read().total_mw == pytest.approx(4200)
        assert "1 % assumed" in meter.description.detail
        meter.close()
        other = opened(f"scpi:127.0.0.1:{instrument.port}?query=FETC:POW:ACT%3F&rate_hz=2&gain_error=0.001")
        assert other.read().total_mw == pytest.approx(7500)
        assert (other.description.rate_hz, other.description.gain_error) == (2.0, 0.001)
        assert "assumed" not in other.description.detail
        other.close()


def test_an_answer_that_comes_too_late_is_not_taken_for_the_next() -> None:
    instrument = Yokogawa()
    with connected(instrument):
        spec = parse(f"scpi:127.0.0.1:{instrument.port}")
        meter = ScpiMeter(spec, SocketLink("127.0.0.1", instrument.port, 0.4))
        instrument.watts, instrument.late_s = "1.0", 0.7
        assert meter.read().fault == "timeout"
        instrument.watts, instrument.late_s = "2.0", 0.0
        readings = [meter.read() for _ in range(20)]
        meter.close()
    found = [reading.total_mw for reading in readings if reading.total_mw is not None]
    assert found
    assert set(found) == {2000.0}


def test_one_that_hangs_up_is_gone() -> None:
    instrument = Yokogawa()
    with connected(instrument):
        meter = ScpiMeter(
            parse(f"scpi:127.0.0.1:{instrument.port}"),
            SocketLink("127.0.0.1", instrument.port, 0.3),
            patience_s=0.5,
        )
        instrument.hang_up = True
        with pytest.raises(MeterError) as ended:
            read_for_ever(meter)
        meter.close()
    assert ended.value.code == "meter_gone"
    assert "without a pause" in ended.value.detail


@pytest.mark.parametrize(
    ("answers", "code", "says"),
    [
        ({}, "meter_unreachable", "no answer to *IDN?"),
        ({"*IDN?": "ACME"}, "meter_rubbish", "?query= asks for another"),
        ({"*IDN?": "ACME", "MEAS:POW?": "four"}, "meter_rubbish", "it answers 'four'"),
        ({"*IDN?": "YOKOGAWA,WT310E", ":RATE?": "fast"}, "meter_rubbish", "it answers 'fast' to :RATE?"),
    ],
)
def test_what_is_no_analyser(
    answers: dict[str, str], code: str, says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edgemeter_agent.meters.scpi.TIMEOUT_S", 0.3)
    with connected(Instrument(answers.get)) as instrument, pytest.raises(MeterError) as refused:
        opened(f"scpi:127.0.0.1:{instrument.port}")
    assert refused.value.code == code
    assert says in refused.value.detail


def test_nobody_there() -> None:
    with connected(Yokogawa()) as instrument:
        port = instrument.port
    with pytest.raises(MeterError, match="connection refused") as refused:
        opened(f"scpi:127.0.0.1:{port}")
    assert refused.value.code == "meter_unreachable"


def test_visa_resources_go_through_pyvisa() -> None:
    """PyVISA is an extra: installed, it talks to the same instrument; missing, it is asked for."""
    if importlib.util.find_spec("pyvisa") is None:
        with pytest.raises(MeterError, match=r"pip install 'edgemeter-agent\[scpi\]'") as refused:
            opened("scpi:GPIB0::8::INSTR")
        assert refused.value.code == "meter_unreachable"
        return
    with connected(Yokogawa()) as instrument:
        resource = f"TCPIP::127.0.0.1::{instrument.port}::SOCKET"
        meter = ScpiMeter(parse(f"scpi:{resource}"), VisaLink(resource, 0.5))
        assert meter.read().total_mw == pytest.approx(12345)
        instrument.mute = True
        assert meter.read().fault == "timeout"
        meter.close()
    with pytest.raises(MeterError) as refused:
        opened("scpi:USB0::0x0B21::0x0025::NOBODY::INSTR")
    assert refused.value.code == "meter_unreachable"
