"""Messages over pipes, each after its length as a varint, and pipes that no library can write into."""

from __future__ import annotations

import os
import sys
from typing import BinaryIO, TypeVar

from google.protobuf.message import DecodeError, Message
from google.protobuf.proto import serialize_length_prefixed

M = TypeVar("M", bound=Message)

MAX_MESSAGE_BYTES = 256 * 1024 * 1024
"""A block of ten million latencies takes about 30 MB."""


def take_stdio() -> tuple[BinaryIO, BinaryIO]:
    """The process's own input and output, for messages only.

    File descriptor 0 becomes /dev/null and 1 becomes 2, so that what a library prints lands in the error
    stream. Neither pipe is inherited by programs that are started later.
    """
    sys.stdout.flush()
    reader = os.fdopen(os.dup(0), "rb")
    writer = os.fdopen(os.dup(1), "wb")
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    os.dup2(2, 1)
    return reader, writer


def write_message(writer: BinaryIO, message: Message) -> None:
    """Raises BrokenPipeError where nobody reads any more."""
    serialize_length_prefixed(message, writer)  # type: ignore[arg-type]
    writer.flush()


def read_message(reader: BinaryIO, kind: type[M], max_bytes: int = MAX_MESSAGE_BYTES) -> M | None:
    """The next message; None where the other end closed between messages.

    Raises ValueError for a message that is cut off, longer than `max_bytes` or none of this kind.
    """
    size = _read_size(reader)
    if size is None:
        return None
    if size > max_bytes:
        raise ValueError(f"a message of {size} bytes; {max_bytes} are allowed")
    content = reader.read(size)
    if len(content) < size:
        raise ValueError(f"the message ends after {len(content)} of {size} bytes")
    message = kind()
    try:
        message.ParseFromString(content)
    except DecodeError as error:
        raise ValueError(f"no {kind.DESCRIPTOR.name}: {error}") from None
    return message


def _read_size(reader: BinaryIO) -> int | None:
    size = shift = 0
    while True:
        byte = reader.read(1)
        if not byte:
            if shift:
                raise ValueError("the message ends within its length")
            return None
        size |= (byte[0] & 0x7F) << shift
        if byte[0] < 0x80:
            return size
        shift += 7
        if shift > 63:
            raise ValueError("a message's length has more than ten bytes")
