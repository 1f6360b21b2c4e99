from __future__ import annotations

import pytest

from edgemeter_coordinator.sdk.errors import EdgemeterError
from edgemeter_coordinator.sdk.variant_files import VariantFile, chosen
from edgemeter_protos.v1 import lab_pb2, variant_pb2

ID, RECIPE = "0123456789abcdef", "lora(8)+q8_0@gguf"
ADAPTER = variant_pb2.Attachment(name="adapter.safetensors", digest="e0" * 32, size_bytes=9)
OTHER = variant_pb2.Attachment(name="adapter.safetensors", digest="e1" * 32, size_bytes=8)
LOG = variant_pb2.Attachment(name="log.txt", digest="f0" * 32, size_bytes=7)


def variant(*attachments: variant_pb2.Attachment) -> lab_pb2.Variant:
    manifest = variant_pb2.Manifest(artifact_digest="a0" * 32, size_bytes=100, attachments=attachments)
    return lab_pb2.Variant(id=ID, recipe=RECIPE, manifest=manifest)


def test_the_file_that_runs() -> None:
    assert chosen(variant(ADAPTER)) == VariantFile(digest="a0" * 32, size_bytes=100)


@pytest.mark.parametrize("asked", ["adapter.safetensors", "e0", "e0" * 32])
def test_what_lies_beside_it(asked: str) -> None:
    found = VariantFile(digest="e0" * 32, size_bytes=9, attachment="adapter.safetensors")
    assert chosen(variant(LOG, ADAPTER), asked) == found
    # The same file twice is no question.
    assert chosen(variant(ADAPTER, ADAPTER), asked) == found


@pytest.mark.parametrize(
    ("one", "asked", "says"),
    [
        (variant(), "x", "has no attachment 'x': it has none at all"),
        (
            variant(ADAPTER, LOG),
            "",
            "has no attachment '': it has adapter.safetensors (e0e0e0e0e0e0), log.txt (",
        ),
        (
            variant(ADAPTER, LOG),
            "adapter",
            "it has adapter.safetensors (e0e0e0e0e0e0), log.txt (f0f0f0f0f0f0)",
        ),
        (
            variant(ADAPTER, OTHER, LOG),
            "adapter.safetensors",
            "give the digest of one: adapter.safetensors (e0e0e0e0e0e0), adapter.safetensors (e1e1e1e1e1e1)",
        ),
        (lab_pb2.Variant(id=ID, recipe=RECIPE), None, "has no file: `edgemeter variant show 0123456789ab`"),
    ],
)
def test_what_can_not_be_meant(one: lab_pb2.Variant, asked: str | None, says: str) -> None:
    with pytest.raises(EdgemeterError) as refused:
        chosen(one, asked)
    assert says in str(refused.value)
    assert str(refused.value).startswith("variant 0123456789ab (lora(8)+q8_0@gguf) has ")
