from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgemeter_agent.engine.pipes import read_message, write_message
from edgemeter_protos.v1 import engine_pb2

phases = st.lists(st.text(max_size=300), max_size=5)


def written(texts: list[str]) -> bytes:
    stream = io.BytesIO()
    for text in texts:
        write_message(stream, engine_pb2.EngineProgress(phase=text))
    return stream.getvalue()


@given(phases)
def test_what_was_written_is_read_in_order(texts: list[str]) -> None:
    stream = io.BytesIO(written(texts))
    for text in texts:
        assert read_message(stream, engine_pb2.EngineProgress) == engine_pb2.EngineProgress(phase=text)
    assert read_message(stream, engine_pb2.EngineProgress) is None


@given(st.text(min_size=1, max_size=300), st.data())
def test_a_message_that_is_cut_off_is_an_error_and_never_the_end(text: str, data: st.DataObject) -> None:
    whole = written([text])
    cut = data.draw(st.integers(1, len(whole) - 1))
    with pytest.raises(ValueError, match="the message ends"):
        read_message(io.BytesIO(whole[:cut]), engine_pb2.EngineProgress)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        # a length beyond all bounds must not be allocated
        (b"\xff\xff\xff\xff\x7f", "34359738367 bytes; 268435456 are allowed"),
        (b"\xff" * 11, "more than ten bytes"),
        (b"\x02\xff\xff", "no EngineProgress"),
    ],
)
def test_rubbish(content: bytes, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        read_message(io.BytesIO(content), engine_pb2.EngineProgress)


@given(st.binary(max_size=60))
def test_any_bytes_give_a_message_the_end_or_an_error(content: bytes) -> None:
    try:
        message = read_message(io.BytesIO(content), engine_pb2.EngineProgress)
    except ValueError:
        assert content
    else:
        assert (message is None) == (content == b"")
