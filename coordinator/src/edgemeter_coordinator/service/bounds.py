"""What names and labels users may give. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from edgemeter_coordinator.refusal import Refused
from edgemeter_protos.v1 import refusal_pb2

MAX_NAME_CHARACTERS = 128
MOST_LABELS = 32
LABEL_CHARACTERS = 64


def check_name(noun: str, name: str) -> str:
    """`name` itself. Raises Refused (BAD_REQUEST) unless it is short and can be typed and printed."""
    if not name or len(name) > MAX_NAME_CHARACTERS or not name.isprintable() or name != name.strip():
        raise Refused(
            refusal_pb2.REFUSAL_REASON_BAD_REQUEST,
            f"{name[:40]!r} can't be a {noun}'s name: 1 to {MAX_NAME_CHARACTERS} printable characters",
        )
    return name


def check_labels(labels: Mapping[str, str]) -> None:
    """Raises Refused (BAD_REQUEST) unless a board can carry them and `--device LABEL=VALUE` can name them."""
    check(len(labels) <= MOST_LABELS, f"{len(labels)} labels: a board has at most {MOST_LABELS}")
    for label, value in labels.items():
        for text in (label, value):
            check(
                0 < len(text) <= LABEL_CHARACTERS
                and text.isprintable()
                and text == text.strip()
                and "=" not in text,
                f"label {label[:40]!r}={value[:40]!r}: names and values have 1 to {LABEL_CHARACTERS} "
                "printable characters and no '='",
            )


def check(holds: bool, message: str) -> None:
    """Raises Refused (BAD_REQUEST) with `message` unless it `holds`."""
    if not holds:
        raise Refused(refusal_pb2.REFUSAL_REASON_BAD_REQUEST, message)
