"""Bundles: what is in one, and what is none."""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgemeter_coordinator.bundle import archive, manifest
from edgemeter_coordinator.bundle.manifest import Bundle, Bundled
from edgemeter_coordinator.bundle.numbers import BOARD, METER, Number, measured
from edgemeter_coordinator.sdk.bundling import replay_name
from edgemeter_coordinator.sdk.errors import EdgemeterError
from edgemeter_protos import plans
from edgemeter_protos.v1 import lab_pb2, result_pb2, variant_pb2
from tests.unit.coordinator.report import responses

FILE = b"the model's bytes"
DIGEST = hashlib.sha256(FILE).hexdigest()


def of(*results: lab_pb2.ListResultsResponse, files: frozenset[str] = frozenset()) -> Bundle:
    study = lab_pb2.Study(name="f/a", model_digest=DIGEST, plan=plans.resolve("quick", seed=7))
    study.variants.add(recipe="float32@tflite", manifest=responses.manifest())
    one = Bundled(
        study=study,
        model=lab_pb2.Model(digest=DIGEST, name="net", file_name="net.keras", task="classification"),
        data=lab_pb2.Dataset(digest="d" * 64, name="digits"),
        boards={each.device.id: each.device for each in results},
        measured=measured(results),
        zoo_model="net",
    )
    return Bundle(made_by="0.4.0", studies=[one], files=files)


def test_the_numbers_of_a_result() -> None:
    response = responses.full()
    response.result.comparison.CopyFrom(
        result_pb2.Comparison(ratio=0.5, ci95_low=0.4, ci95_high=0.6, outcome=result_pb2.OUTCOME_FASTER)
    )
    response.result.energy.CopyFrom(
        result_pb2.Energy(
            status=result_pb2.ENERGY_STATUS_MEASURED, net_uj_per_inference=10, net_uncertainty_uj=2
        )
    )
    response.device_metrics.extend(
        [
            response.device_quality,
            variant_pb2.Quality(metric="top1", value=0.99, samples=100, against="original"),
            variant_pb2.Quality(metric="ece", unscored_reason="no probabilities"),
        ]
    )
    (one,) = measured([response, _late(response)])
    assert (one.recipe, one.device_id, one.verdict, one.runtime) == (
        "float32@tflite",
        "pi-a-id",
        "degraded",
        "litert 2.3.0",
    )
    assert one.numbers == (
        Number(name="size_bytes", value=1000),
        Number(name="quality top1", value=0.96, low=0.9, high=0.98, samples=100),
        Number(name="quality top1 against the original", value=0.99, samples=100),
        Number(name="latency_ratio", value=0.5, low=0.4, high=0.6, where=BOARD),
        Number(name="latency_p50_ns", value=1000, low=990, high=1020, where=BOARD),
        Number(name="net_uj_per_inference", value=10, low=8, high=12, where=METER),
    )


def _late(response: lab_pb2.ListResultsResponse) -> lab_pb2.ListResultsResponse:
    late = lab_pb2.ListResultsResponse()
    late.CopyFrom(response)
    late.late = True
    return late


def test_a_text_models_numbers() -> None:
    response = responses.full()
    response.result.text_speed.CopyFrom(
        result_pb2.TextSpeed(
            ttft_p50=result_pb2.Percentile(value_ns=3e8, ci95_low_ns=2e8, ci95_high_ns=4e8),
            decode_tokens_per_s=40,
        )
    )
    (one,) = measured([response])
    assert one.numbers[-2:] == (
        Number(name="ttft_p50_ns", value=3e8, low=2e8, high=4e8, where=BOARD),
        Number(name="decode_tokens_per_s", value=40, where=BOARD),
    )


def test_nothing_measured() -> None:
    (one,) = measured([responses.nothing_measured()])
    assert (one.verdict, [each.name for each in one.numbers]) == ("void", ["size_bytes"])


def test_what_is_written_is_read() -> None:
    bundle = of(responses.full(), responses.nothing_measured(), files=frozenset([DIGEST]))
    assert manifest.from_json(manifest.to_json(bundle)) == bundle


def test_it_says_what_it_takes_to_repeat_the_study() -> None:
    (study,) = json.loads(manifest.to_json(of(responses.full())))["studies"]
    assert study["model"]["digest"] == DIGEST
    assert study["study"]["plan"]["seed"] == "7"
    assert study["study"]["variants"][0]["manifest"]["recipe"] == "float32@tflite"
    assert study["boards"][0]["facts"]["board"] == "Pi 5"
    assert study["results"][0]["numbers"][1]["name"] == "quality top1"


def _without(*path: str | int) -> Callable[[Any], None]:
    def change(content: Any) -> None:
        for key in path[:-1]:
            content = content[key]
        del content[path[-1]]

    return change


def _with(value: object, *path: str | int) -> Callable[[Any], None]:
    def change(content: Any) -> None:
        for key in path[:-1]:
            content = content[key]
        content[path[-1]] = value

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_with("other", "format"), "its format is not 'edgemeter-bundle'"),
        (_with(2, "version"), "it is of version 2, and 1 is read here: update edgemeter"),
        (_without("made_by"), "made_by is missing"),
        (_with([3], "files"), "files is no list of texts"),
        (_with({}, "studies"), "studies is no list"),
        (_with([3], "studies"), "studies[0] is no object"),
        (_without("studies", 0, "model"), "studies[0].model is missing"),
        (_with(3, "studies", 0, "model"), "studies[0]: it has no Model that can be read"),
        (_with("x", "studies", 0, "study", "variants"), "studies[0]: it has no Study that can be read"),
        (_without("studies", 0, "results", 0, "recipe"), "studies[0].results[0].recipe is missing"),
        (
            _with("1", "studies", 0, "results", 0, "numbers", 1, "value"),
            "studies[0].results[0].numbers[1].value is no number",
        ),
        (
            _with("here", "studies", 0, "results", 0, "numbers", 1, "where"),
            "studies[0].results[0].numbers[1].where is none of anywhere, board, meter",
        ),
    ],
)
def test_what_is_no_manifest(change: Callable[[Any], None], message: str) -> None:
    content = json.loads(manifest.to_json(of(responses.full())))
    change(content)
    with pytest.raises(EdgemeterError) as refused:
        manifest.from_json(json.dumps(content))
    assert str(refused.value).startswith(message)
    assert "\n" not in str(refused.value)


def test_fields_of_a_later_edgemeter_are_passed_over() -> None:
    bundle = of(responses.full())
    content = json.loads(manifest.to_json(bundle))
    content["studies"][0]["study"]["mood"] = "good"
    content["weather"] = "fine"
    assert manifest.from_json(json.dumps(content)) == bundle


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
)


@given(_JSON, st.data())
def test_any_json_is_read_or_refused(value: Any, choose: st.DataObject) -> None:
    content: Any = json.loads(manifest.to_json(of(responses.full())))
    table: Any = content
    while isinstance(table, dict | list) and table:
        keys = list(table) if isinstance(table, dict) else list(range(len(table)))
        key = choose.draw(st.sampled_from(keys))
        if not isinstance(table[key], dict | list) or not table[key] or choose.draw(st.booleans()):
            table[key] = value
            break
        table = table[key]
    with suppress(EdgemeterError):
        assert isinstance(manifest.from_json(json.dumps(content)), Bundle)


def bring(digest: str, to: Path) -> None:
    assert digest == DIGEST
    to.write_bytes(FILE)


def test_an_archive_with_files(tmp_path: Path) -> None:
    path = tmp_path / "b.zip"
    bundle = of(responses.full(), files=frozenset([DIGEST]))
    archive.write(path, bundle, bring)
    assert [each.name for each in tmp_path.iterdir()] == ["b.zip"]
    assert archive.read(path) == bundle
    archive.extract(path, DIGEST, tmp_path / "net.keras")
    assert (tmp_path / "net.keras").read_bytes() == FILE


def test_an_archive_that_can_not_be_written(tmp_path: Path) -> None:
    with pytest.raises(EdgemeterError, match=r"cannot write .*: No such file or directory"):
        archive.write(tmp_path / "none" / "b.zip", of(), bring)

    def fail(_digest: str, _to: Path) -> None:
        raise EdgemeterError("blob is gone")

    with pytest.raises(EdgemeterError, match="blob is gone"):
        archive.write(tmp_path / "b.zip", of(files=frozenset([DIGEST])), fail)
    assert list(tmp_path.iterdir()) == []


def test_what_is_no_archive(tmp_path: Path) -> None:
    path = tmp_path / "b.zip"
    with pytest.raises(EdgemeterError, match=r"cannot read .*: No such file or directory"):
        archive.read(path)
    path.write_bytes(b"PK is not enough")
    with pytest.raises(EdgemeterError, match="is no bundle: File is not a zip file"):
        archive.read(path)
    with zipfile.ZipFile(path, "w") as other:
        other.writestr("model.keras", b"x")
    with pytest.raises(EdgemeterError, match=r"is no bundle: it holds no bundle\.json"):
        archive.read(path)
    with zipfile.ZipFile(path, "w") as other:
        other.writestr("bundle.json", b"{")
    with pytest.raises(EdgemeterError, match=r"bundle\.json: it is no JSON"):
        archive.read(path)
    with zipfile.ZipFile(path, "w") as other:
        other.writestr("bundle.json", manifest.to_json(of(files=frozenset([DIGEST]))))
    with pytest.raises(EdgemeterError, match=f"files/{DIGEST[:12]}… is missing"):
        archive.read(path)


def test_a_cut_or_changed_archive(tmp_path: Path) -> None:
    path = tmp_path / "b.zip"
    archive.write(path, of(responses.full(), files=frozenset([DIGEST])), bring)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(EdgemeterError, match="is no bundle"):
        archive.read(path)
    path.write_bytes(whole.replace(FILE, b"The model's bytes"))
    with pytest.raises(EdgemeterError, match="can't be read: Bad CRC-32"):
        archive.extract(path, DIGEST, tmp_path / "x")
    with zipfile.ZipFile(path, "w") as other:
        other.writestr(f"files/{DIGEST}", b"another model")
    with pytest.raises(EdgemeterError, match="is not what it was: its SHA-256 is"):
        archive.extract(path, DIGEST, tmp_path / "x")


@pytest.mark.parametrize(
    ("name", "called"),
    [
        ("compression/resnet", ("compression-replay", "resnet")),
        ("compression/resnet/2", ("compression-replay", "resnet")),
        ("digits-1", ("replay", "digits-1")),
        ("a/b/c", ("replay", "a-b-c")),
    ],
)
def test_replay_name(name: str, called: tuple[str, str]) -> None:
    assert replay_name(name) == called
