from __future__ import annotations

import dataclasses

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from edgemeter_agent.meters import WALL, Description
from edgemeter_agent.meters.spec import COMMON_OPTIONS, KINDS, describe_kinds, open_spec, parse, prepare

SAID = Description(
    name="said",
    kind="exec",
    coverage="board",
    rails=(),
    rate_hz=10,
    resolution_mw=1,
    gain_error=0.01,
    offset_error_mw=0,
    lag_s=0,
    has_counter=False,
    detail="",
)


@pytest.mark.parametrize(
    ("text", "target", "options"),
    [
        ("exec:./meter.sh", "./meter.sh", {}),
        # a question mark of the program's own
        ("exec:curl http://pdu/power?outlet=3", "curl http://pdu/power?outlet=3", {}),
        (
            "exec:curl http://pdu/power?outlet=3?coverage=wall",
            "curl http://pdu/power?outlet=3",
            {"coverage": "wall"},
        ),
        ("exec:prog a b ?rate_hz=5&lag_s=0.2", "prog a b", {"rate_hz": "5", "lag_s": "0.2"}),
        ("remote:lab:8571?token=a.b-c", "lab:8571", {"token": "a.b-c"}),
        ("remote:[fe80::1]:8571", "[fe80::1]:8571", {}),
        ("joulescope:", "", {}),
        ("joulescope:000123", "000123", {}),
        ("ina228:1:0x40?shunt_mohm=10&range_a=2", "1:0x40", {"shunt_mohm": "10", "range_a": "2"}),
        ("shelly:plug.lan?channel=1&name=the%20plug", "plug.lan", {"channel": "1", "name": "the plug"}),
        ("scpi:USB0::0x0B21::0x0025::C2QL::INSTR", "USB0::0x0B21::0x0025::C2QL::INSTR", {}),
        ("scpi:10.0.0.2:5025?query=MEAS:POW:AC%3F", "10.0.0.2:5025", {"query": "MEAS:POW:AC?"}),
    ],
)
def test_a_spec_is_taken_apart(text: str, target: str, options: dict[str, str]) -> None:
    spec = parse(text)
    assert (spec.target, spec.options) == (target, options)
    # It can be opened: everything but the meter itself was checked.
    assert callable(prepare(text))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "must begin with one of exec:, remote:"),
        ("ina3221", "must begin with one of"),
        ("volts:here", "'volts:here' is no meter"),
        ("exec:", "exec: without a target; the form is exec:PROGRAM ARGS"),
        ("exec:'meter", "no closing quotation"),
        ("exec:prog?rate_hz=fast", "rate_hz=fast is no number"),
        ("exec:prog?rate_hz=0", "rate_hz=0 is no number from"),
        ("exec:prog?coverage", "coverage has no value"),
        ("remote:lab", "no HOST:PORT"),
        ("remote:lab:70000", "'70000' is no port"),
        ("remote:::1:80", "stands in brackets"),
        ("remote:la b:80", "no host name"),
        ("remote:lab:80?token=a%20b", "a token has"),
        ("remote:lab:80?token=-", "a token has"),
        ("remote:lab:80?secret=1", "no option 'secret'; there are coverage"),
        ("remote:lab:80?", "no option follows"),
        ("ina226:1:0x40", "say what the shunt has, as in ?shunt_mohm=10"),
        ("ina226:0x40?shunt_mohm=10", "the form is BUS:ADDR"),
        ("ina226:1:0x7f?shunt_mohm=10", "no 7-bit I2C address"),
        ("ina226:1:64?shunt_mohm=0", "shunt_mohm=0 is no number"),
        ("ina226:1:64?shunt_mohm=10&average=5", "average=5 is none of 1, 4, 16"),
        ("ina228:1:64?shunt_mohm=10&conversion_us=1100", "conversion_us=1100 is none of 50, 84"),
        ("ina226:1:64?shunt_mohm=100&range_a=2", "range_a=2 is beyond 0.8192 A"),
        ("ina260:1:64?shunt_mohm=2", "no option 'shunt_mohm'"),
        ("shelly:http://plug", "'//plug' is no port"),
        ("shelly:plug?channel=1.5", "no whole number"),
        ("shelly:plug?counter=maybe", "counter=maybe is none of yes, no"),
        ("tasmota:plug?password=x&password=y", "stands twice"),
        ("scpi:USB0::junk", "no VISA resource"),
        ("scpi:pdu:5025?dialect=french", "dialect=french is none of yokogawa, generic"),
        ("scpi:pdu", "no HOST:PORT"),
        ("exec:prog?gain_error=nan", "gain_error=nan is no number from 0 to 1"),
        ("exec:prog?lag_s=-1", "lag_s=-1 is no number"),
        ("exec:a\nb", "one line"),
        ("exec:" + "a" * 1001, "at most 1000"),
    ],
)
def test_what_is_wrong_is_said_in_a_line(text: str, says: str) -> None:
    with pytest.raises(ValueError, match=r"^.+$") as refused:
        open_spec(text)
    assert says in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    "text",
    [
        "remote:lab?token=s3cret",
        "remote:lab:80?token=s3cret&x=1",
        "remote:lab:80?token=s3cret&lag_s=x",
        "remotely:lab:80?token=s3cret",
        "tasmota:pl ug?password=s3cret",
    ],
)
def test_no_error_and_no_name_holds_a_secret(text: str) -> None:
    with pytest.raises(ValueError, match=r".") as refused:
        open_spec(text)
    assert "s3cret" not in str(refused.value)


def test_names_are_of_kind_target_and_channel() -> None:
    texts = ["shelly:plug", "shelly:plug?channel=1", "tasmota:plug", "joulescope:", "remote:lab:80?token=t"]
    assert [parse(text).name for text in texts] == [
        "shelly:plug", "shelly:plug?channel=1", "tasmota:plug", "joulescope", "remote:lab:80",
    ]  # fmt: skip


def test_what_the_user_says_overrules_what_the_meter_says() -> None:
    spec = parse("exec:p?coverage=wall&gain_error=0.002&offset_mw=3&lag_s=0.5&name=mine")
    assert spec.described(SAID) == dataclasses.replace(
        SAID, coverage=WALL, gain_error=0.002, offset_error_mw=3, lag_s=0.5, name="mine"
    )
    assert parse("exec:p").described(SAID) == dataclasses.replace(SAID, name="exec:p")


def test_every_kind_is_described_by_a_spec_of_its_own() -> None:
    assert {usage.partition(":")[0] for usage, _ in describe_kinds()} == set(KINDS)


ANY = st.text(st.characters(codec="utf-8"), max_size=60)
PIECES = st.sampled_from(
    [
        *(f"{kind}:" for kind in KINDS),
        *COMMON_OPTIONS,
        "?",
        "&",
        "=",
        ":",
        "::",
        "0x40",
        "1",
        "shunt_mohm",
        "%",
        "'",
    ]
)


@given(st.one_of(ANY, st.lists(st.one_of(PIECES, ANY), max_size=12).map("".join)))
@example("exec:\\")
@example("scpi:TCPIP::[::SOCKET")
@example("remote:[::1]:\u0661")
@example("ina226:1:0x40?shunt_mohm=1e-400")
@example("ina226:1:0x40?shunt_mohm=inf")
def test_any_text_is_a_meter_or_refused_in_a_line(text: str) -> None:
    said = "opens"
    try:
        assert callable(prepare(text))
    except ValueError as error:
        said = str(error)
    assert said
    assert "\n" not in said
