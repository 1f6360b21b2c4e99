"""The shape of a meter's text, and that no secret in it is told."""

from __future__ import annotations

import pytest

from edgemeter_coordinator.schedule.meter_specs import KINDS, SPEC_CHARACTERS, shown, spec_problem


@pytest.mark.parametrize(
    "spec",
    [
        "exec:/usr/local/bin/watts --channel 1",
        "remote:192.168.1.20:7450",
        "remote:[fd00::1]:7450?token=abc",
        "joulescope:",
        "joulescope:002557",
        "ina226:1:0x40?shunt_mohm=10",
        "ina260:1:0x40",
        "shelly:10.0.0.7?channel=1&coverage=wall",
        "tasmota:plug-3",
        "scpi:TCPIP::10.0.0.8::INSTR",
    ],
)
def test_right(spec: str) -> None:
    assert spec_problem(spec) is None


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        pytest.param("", "there are exec:PROGRAM", id="empty"),
        pytest.param("10.0.0.7", "there are exec:PROGRAM", id="no kind"),
        pytest.param("shely:10.0.0.7", "did you mean shelly:HOST?", id="a slip"),
        pytest.param("shelly", "write shelly:HOST", id="no target"),
        pytest.param("shelly:", "write shelly:HOST", id="an empty target"),
        pytest.param("shelly:?channel=1", "write shelly:HOST", id="options only"),
        pytest.param("remote:pi-b", "write remote:HOST:PORT", id="no port"),
        pytest.param("remote:pi-b:0", "write remote:HOST:PORT", id="no such port"),
        pytest.param("remote:pi-b:99999", "write remote:HOST:PORT", id="no such port either"),
        pytest.param("remote::7450", "write remote:HOST:PORT", id="no host"),
        pytest.param("exec:a\nb", "printable characters", id="two lines"),
        pytest.param("exec:" + "a" * SPEC_CHARACTERS, "printable characters", id="too long"),
        pytest.param(" shelly:a", "printable characters", id="a space"),
    ],
)
def test_wrong(spec: str, says: str) -> None:
    said = spec_problem(spec)
    assert said is not None
    assert says in said
    assert "\n" not in said


@pytest.mark.parametrize("spec", ["remote:pi-b?token=hush", "shely:a?password=hush", "remote:?token=hush"])
def test_no_line_tells_a_secret(spec: str) -> None:
    assert "hush" not in (spec_problem(spec) or "hush")


@pytest.mark.parametrize(
    ("spec", "text"),
    [
        ("shelly:10.0.0.7?channel=1", "shelly:10.0.0.7?channel=1"),
        ("remote:a:1?token=hush", "remote:a:1?token=***"),
        ("tasmota:a?user=me&password=hush&counter=yes", "tasmota:a?user=me&password=***&counter=yes"),
    ],
)
def test_secrets_are_masked(spec: str, text: str) -> None:
    assert shown(spec) == text


def test_every_kind_is_shaped_as_it_is_told() -> None:
    examples = {kind: usage.replace("PORT", "7450") for kind, usage in KINDS.items()}
    assert {kind: spec_problem(example) for kind, example in examples.items()} == dict.fromkeys(KINDS)
