"""Which row a reference means."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from edgemeter_coordinator.refusal import Refused
from edgemeter_coordinator.service.references import pick
from edgemeter_protos.v1 import refusal_pb2


@dataclass(frozen=True)
class Row:
    key: str
    name: str


ROWS = [Row("ab12", "digits"), Row("ab34", "cats"), Row("cd56", "ab"), Row("ef78", "ab12x")]


def picked(reference: str) -> Row:
    found = [row for row in ROWS if row.name == reference or row.key.startswith(reference)]
    return pick(
        reference, found, noun="model", key=lambda row: row.key, names=lambda: [row.name for row in ROWS]
    )


@pytest.mark.parametrize(
    ("reference", "key"),
    [
        pytest.param("digits", "ab12", id="a name"),
        pytest.param("ab34", "ab34", id="a whole key"),
        pytest.param("c", "cd56", id="the start of one"),
        pytest.param("ab", "cd56", id="a name goes before the starts of keys"),
    ],
)
def test_picked(reference: str, key: str) -> None:
    assert picked(reference).key == key


@pytest.mark.parametrize(
    ("reference", "reason", "said"),
    [
        pytest.param("", "BAD_REQUEST", "no model is named", id="nothing"),
        pytest.param("a", "BAD_REQUEST", "ab12 (digits), ab34 (cats)", id="the start of several"),
        pytest.param("digit", "NOT_FOUND", "did you mean 'digits'", id="nearly a name"),
        pytest.param("zzz", "NOT_FOUND", "edgemeter model ls", id="nothing like it"),
    ],
)
def test_refused(reference: str, reason: str, said: str) -> None:
    with pytest.raises(Refused) as caught:
        picked(reference)
    assert refusal_pb2.RefusalReason.Name(caught.value.reason) == f"REFUSAL_REASON_{reason}"
    assert said in caught.value.message
