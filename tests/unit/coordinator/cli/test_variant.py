"""What is shown of a variant, and of one that was built again."""

from __future__ import annotations

import pytest

from edgemeter_coordinator.cli.variant import differences, facts, verdict
from edgemeter_protos.v1 import lab_pb2, variant_pb2

MANIFEST = variant_pb2.Manifest(
    artifact_digest="ab" * 32,
    size_bytes=5176,
    compressed_size_bytes=2266,
    parameters=1299,
    non_zero_parameters=663,
    macs=80976,
    quality=variant_pb2.Quality(metric="top1", value=0.95, samples=200, ci95_low=0.91, ci95_high=0.97),
    agreement=variant_pb2.Quality(metric="agreement", value=0.99, samples=200),
    output_error=variant_pb2.OutputError(max_absolute=0.25, sqnr_db=21.1, samples=200),
    tool_versions={"tensorflow": "2.21.0", "keras": "3.15.1"},
    conversion_duration_ns=4_100_000_000,
    conversion_peak_rss_bytes=925_000_000,
    deterministic=True,
)


def changed(**fields: object) -> variant_pb2.Manifest:
    manifest = variant_pb2.Manifest()
    manifest.CopyFrom(MANIFEST)
    manifest.MergeFrom(variant_pb2.Manifest(**fields))  # type: ignore[arg-type]
    return manifest


def test_facts() -> None:
    shown = dict(facts(lab_pb2.Variant(manifest=MANIFEST)))
    assert shown["file"] == "5.18 kB, 2.27 kB with zstd"
    assert shown["parameters"] == "1,299, 663 of them not zero (sparsity 49.0%)"
    assert shown["bits per weight"] == "31.88"
    assert shown["quality"] == "top1 0.9500 (0.9100 to 0.9700, n 200)"
    assert shown["against the original"] == "agreement 0.9900 (n 200)"
    assert shown["output error"] == "largest 0.25, SQNR 21.1 dB (n 200)"
    assert shown["conversion"] == "4.1 s, peak memory 925 MB"
    assert shown["tools"] == "keras 3.15.1, tensorflow 2.21.0"


def test_what_lies_beside_the_file() -> None:
    adapter = variant_pb2.Attachment(
        name="adapter.safetensors", digest="ef" * 32, size_bytes=9_824_424, about="LoRA adapter (r=8)"
    )
    shown = dict(facts(lab_pb2.Variant(manifest=changed(attachments=[adapter]))))
    assert shown["beside it"] == f"adapter.safetensors, 9.82 MB: LoRA adapter (r=8); {'ef' * 32}"
    assert shown["runs on"] == "the coordinator only"
    assert "beside it" not in dict(facts(lab_pb2.Variant(manifest=MANIFEST)))


def test_what_is_not_known_is_said_to_be() -> None:
    shown = dict(facts(lab_pb2.Variant(manifest=variant_pb2.Manifest())))
    assert shown["multiply-accumulates"] == "-"
    assert shown["bits per weight"] == "-"
    assert shown["quality"] == "not scored"
    assert shown["output error"] == "not compared"
    assert "don't promise" in shown["built again"]


@pytest.mark.parametrize(
    ("earlier", "rebuilt", "said"),
    [
        pytest.param(MANIFEST, MANIFEST, "the same file", id="same"),
        pytest.param(
            MANIFEST,
            changed(artifact_digest="cd" * 32),
            "though its tools promise the same",
            id="broken promise",
        ),
        pytest.param(
            MANIFEST,
            changed(artifact_digest="cd" * 32, tool_versions={"keras": "4.0"}),
            "other versions",
            id="other tools",
        ),
        pytest.param(
            variant_pb2.Manifest(artifact_digest="a"),
            variant_pb2.Manifest(artifact_digest="b"),
            "don't promise",
            id="no promise",
        ),
    ],
)
def test_verdict(earlier: variant_pb2.Manifest, rebuilt: variant_pb2.Manifest, said: str) -> None:
    same = earlier.artifact_digest == rebuilt.artifact_digest
    answer = lab_pb2.RebuildVariantResponse(same=same, earlier=earlier, rebuilt=rebuilt)
    assert said in verdict(answer)


def test_differences() -> None:
    other = changed(artifact_digest="cd" * 32, size_bytes=5180, tool_versions={"keras": "4.0"})
    assert differences(MANIFEST, other) == [
        "digest: abababababab → cdcdcdcdcdcd",
        "size: 5,176 → 5,180 bytes",
        "keras: 3.15.1 → 4.0",
    ]
    assert differences(MANIFEST, MANIFEST) == []
