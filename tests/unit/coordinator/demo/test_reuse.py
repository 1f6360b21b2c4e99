"""What a second demo believes of the first one's leavings."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from edgemeter_coordinator.demo import training
from edgemeter_coordinator.demo.run import Joined


@pytest.fixture
def trained(tmp_path: Path) -> tuple[Path, Path]:
    """Data, and a model with the note that training leaves."""
    data, model = tmp_path / "digits.npz", tmp_path / "digits.keras"
    data.write_bytes(b"data")
    model.write_bytes(b"model")
    note = {
        "inputs_sha256": training.inputs_digest(data),
        "model_sha256": hashlib.sha256(b"model").hexdigest(),
        "accuracy": 0.97,
        "parameters": 7,
    }
    training.note_path(model).write_text(json.dumps(note))
    return data, model


def test_the_same_inputs_are_not_trained_again(trained: tuple[Path, Path]) -> None:
    note = training.known(*trained)
    assert note is not None
    assert note["accuracy"] == 0.97


def test_other_data_are(trained: tuple[Path, Path]) -> None:
    trained[0].write_bytes(b"other data")
    assert training.known(*trained) is None


def test_another_number_of_epochs_is(trained: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "EPOCHS", training.EPOCHS + 1)
    assert training.known(*trained) is None


@pytest.mark.parametrize("content", [None, b"other model"], ids=["gone", "changed"])
def test_a_model_that_is_not_the_noted_one(trained: tuple[Path, Path], content: bytes | None) -> None:
    data, model = trained
    model.unlink()
    if content is not None:
        model.write_bytes(content)
    assert training.known(data, model) is None


@pytest.mark.parametrize("note", ["", "[]", "{}", "{cut"])
def test_a_note_that_says_nothing(trained: tuple[Path, Path], note: str) -> None:
    training.note_path(trained[1]).write_text(note)
    assert training.known(*trained) is None


def test_a_membership_is_noted(tmp_path: Path) -> None:
    joined = Joined(port=1, fleet_port=2, device_id="d")
    joined.write(tmp_path / "joined.json")
    assert Joined.read(tmp_path / "joined.json") == joined


@pytest.mark.parametrize("note", ["", "[]", "{}", '{"port": "x", "fleet_port": 1, "device_id": "d"}'])
def test_a_membership_that_cannot_be_read(tmp_path: Path, note: str) -> None:
    (tmp_path / "joined.json").write_text(note)
    assert Joined.read(tmp_path / "joined.json") is None
    assert Joined.read(tmp_path / "missing.json") is None
