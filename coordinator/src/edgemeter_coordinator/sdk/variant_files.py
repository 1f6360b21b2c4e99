"""Which of a variant's files a user means: what runs, or one that is kept beside it. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from edgemeter_coordinator.sdk.errors import EdgemeterError
from edgemeter_protos.v1 import lab_pb2


@dataclass(frozen=True, kw_only=True, slots=True)
class VariantFile:
    """A blob. `attachment` is its name; empty for the file that runs."""

    digest: str
    size_bytes: int
    attachment: str = ""


def chosen(variant: lab_pb2.Variant, attachment: str | None = None) -> VariantFile:
    """The file that runs, or the attachment of this name, or whose digest begins so.

    Raises EdgemeterError, which says what there is.
    """
    which = f"variant {variant.id[:12]} ({variant.recipe})"
    if not variant.HasField("manifest"):
        raise EdgemeterError(f"{which} has no file: `edgemeter variant show {variant.id[:12]}` says why")
    manifest = variant.manifest
    if attachment is None:
        return VariantFile(digest=manifest.artifact_digest, size_bytes=manifest.size_bytes)
    named = [each for each in manifest.attachments if each.name == attachment] or [
        each for each in manifest.attachments if attachment and each.digest.startswith(attachment)
    ]
    if len({each.digest for each in named}) == 1:
        one = named[0]
        return VariantFile(digest=one.digest, size_bytes=one.size_bytes, attachment=one.name)
    there = ", ".join(f"{each.name} ({each.digest[:12]})" for each in named or manifest.attachments)
    if named:
        raise EdgemeterError(
            f"{which} has several attachments {attachment!r}: give the digest of one: {there}"
        )
    raise EdgemeterError(f"{which} has no attachment {attachment!r}: it has {there or 'none at all'}")
