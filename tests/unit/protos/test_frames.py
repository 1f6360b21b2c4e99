"""Hand-made frames are protobuf's own bytes, in both directions."""

from __future__ import annotations

import pytest
from google.protobuf.message import DecodeError
from hypothesis import given
from hypothesis import strategies as st

from edgemeter_protos import frames
from edgemeter_protos.v1 import blobs_pb2

# Each length around which the varint of the length grows by a byte.
BORDERS = [1, 127, 128, 16_383, 16_384, frames.CHUNK_BYTES]


@pytest.mark.parametrize("size", BORDERS)
def test_encodes_what_protobuf_encodes(size: int) -> None:
    data = bytes(range(256)) * (size // 256 + 1)
    chunk = data[:size]
    assert frames.encode_fetch(chunk) == blobs_pb2.FetchResponse(data=chunk).SerializeToString()
    assert frames.encode_put(chunk) == blobs_pb2.PutRequest(data=chunk).SerializeToString()


@given(st.binary(max_size=70_000))
def test_decodes_what_protobuf_encodes(data: bytes) -> None:
    assert bytes(frames.decode_fetch(blobs_pb2.FetchResponse(data=data).SerializeToString())) == data
    part = frames.decode_put(blobs_pb2.PutRequest(data=data).SerializeToString())
    assert isinstance(part, bytes | memoryview)
    assert bytes(part) == data


def test_header_survives() -> None:
    header = blobs_pb2.PutHeader(digest="ab" * 32, size_bytes=10, offset_bytes=4)
    assert frames.decode_put(frames.encode_put(header)) == header


def test_unusual_encoding_of_the_same_message_is_read_by_protobuf() -> None:
    # An unknown field behind the data: legal, but not the one-field frame.
    message = blobs_pb2.FetchResponse(data=b"abc").SerializeToString() + b"\x50\x01"
    assert bytes(frames.decode_fetch(message)) == b"abc"


@given(st.binary(max_size=64))
def test_rubbish_is_refused_or_read_as_protobuf_reads_it(message: bytes) -> None:
    try:
        expected = blobs_pb2.FetchResponse.FromString(message).data
    except DecodeError:
        with pytest.raises(DecodeError):
            frames.decode_fetch(message)
    else:
        assert bytes(frames.decode_fetch(message)) == expected
