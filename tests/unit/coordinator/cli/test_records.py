"""What --json prints keeps its keys, and its numbers are numbers."""

from __future__ import annotations

import json

from edgemeter_coordinator.cli import records
from edgemeter_protos.v1 import device_pb2, lab_pb2

BIG = 2**53 + 1


def test_empty_messages_make_valid_records() -> None:
    for record in (
        records.model(lab_pb2.Model()),
        records.dataset(lab_pb2.Dataset()),
        records.recipe(lab_pb2.Recipe()),
        records.device(lab_pb2.Device()),
        records.study(lab_pb2.Study()),
        records.token(lab_pb2.TokenInfo()),
    ):
        assert json.loads(json.dumps(record, allow_nan=False)) == record


def test_sizes_are_integers_and_times_are_iso() -> None:
    model = records.model(lab_pb2.Model(size_bytes=BIG, added_at_unix_ms=1_700_000_000_999))
    assert model["size_bytes"] == BIG
    assert model["added_at"] == "2023-11-14T22:13:20+00:00"
    assert records.iso_time(0) is None


def test_a_device_holds_its_facts() -> None:
    facts = device_pb2.DeviceFacts(
        arch="aarch64", runtimes=[device_pb2.RuntimeFacts(name="litert", version="2")]
    )
    device = records.device(lab_pb2.Device(name="pi", labels={"rack": "a"}, facts=facts, attached=True))
    assert device["labels"] == {"rack": "a"}
    assert device["facts"]["runtimes"] == [{"name": "litert", "version": "2", "accelerators": None}]


def test_states_are_words() -> None:
    study = records.study(
        lab_pb2.Study(
            state=lab_pb2.STUDY_STATE_MEASURING,
            variants=[lab_pb2.StudyVariant(state=lab_pb2.VARIANT_STATE_READY, reused=True)],
            jobs=[lab_pb2.Job(state=lab_pb2.JOB_STATE_RUNNING)],
        )
    )
    assert study["state"] == "measuring"
    assert study["variants"][0]["state"] == "ready"
    assert study["jobs"][0]["state"] == "running"


def test_only_join_tokens_are_used_up() -> None:
    assert records.token(lab_pb2.TokenInfo(kind=lab_pb2.TOKEN_KIND_JOIN))["uses_left"] == 0
    assert records.token(lab_pb2.TokenInfo(kind=lab_pb2.TOKEN_KIND_USER))["uses_left"] is None
