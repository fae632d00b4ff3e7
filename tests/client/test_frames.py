"""Frames of the server are told apart as every client does; what cannot be sent is refused."""

import datetime as dt
import json
import uuid
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairway.client.frames import Frame, Push, encode, read_frame
from fairway.errors import BadFrame, InvalidMessage, MessageTooLarge, RequestFailed

VECTORS = json.loads((Path(__file__).parents[2] / "vectors" / "client.json").read_text())


@pytest.mark.parametrize("vector", VECTORS["received"], ids=lambda vector: vector["text"][:60])
def test_a_frame_is_what_it_is_to_every_client(vector):
    assert read_frame(vector["text"]).kind == vector["is"]


def test_a_frame_brings_what_its_kind_has():
    push = {"id": 3, "type": "subscription-update", "data": {"type": "update", "group": "g", "object": [1]}}
    assert read_frame(json.dumps(push)) == Frame("push", Push("update", "g", [1]))
    assert read_frame('{"stream": "chat", "payload": null}') == Frame("stream", None, "chat")
    assert read_frame('{"id": "#1", "data": 7}') == Frame("answer", {"id": "#1", "data": 7})


def test_an_error_that_nobody_asked_for_is_the_servers():
    error = read_frame('{"stream": "chat", "error": "no such stream"}').content
    assert isinstance(error, RequestFailed)
    assert str(error) == "no such stream"
    assert error.frame["stream"] == "chat"


HOSTILE = ["[" * 100_000, '{"a":' * 100_000, '"\\ud800"', "NaN", "{}x", '{"id": "#1"', "1e999", "\x00", b"{}", b"\xff"]


@pytest.mark.parametrize("received", HOSTILE, ids=lambda received: repr(received[:20]))
def test_nonsense_is_an_error_that_shows_its_beginning(received):
    frame = read_frame(received)
    assert (frame.kind, type(frame.content), frame.content.frame) == ("error", BadFrame, received)
    assert len(str(frame.content)) < 220


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: (
        st.lists(inner) | st.dictionaries(st.text() | st.sampled_from(["id", "type", "data", "error"]), inner)
    ),
    max_leaves=10,
)


@given(
    json_values | st.dictionaries(st.sampled_from(["id", "type", "data", "stream", "payload", "error"]), json_values)
)
def test_nothing_that_comes_raises(value):
    assert read_frame(json.dumps(value)).kind in {"answer", "error", "push", "stream", "message"}


@given(st.text() | st.binary())
def test_no_text_raises(received):
    assert read_frame(received).kind in {"error", "message"}


@dataclass
class Todo:
    title: str
    due: dt.date


def test_what_python_has_at_hand_can_be_sent():
    value = {
        "todo": Todo("Sail", dt.date(2026, 5, 1)),
        "key": uuid.UUID(int=1),
        "price": Decimal("1.5"),
        "set": {1},
        "long": 2**70,
    }
    assert json.loads(encode(value, "it", 1000)) == {
        "todo": {"title": "Sail", "due": "2026-05-01"},
        "key": str(uuid.UUID(int=1)),
        "price": "1.5",
        "set": [1],
        "long": 2**70,
    }


def circular():
    value = []
    value.append(value)
    return value


@pytest.mark.parametrize(
    "value", [object(), "\ud800", circular(), {(1, 2): 3}], ids=["object", "half", "circle", "key"]
)
def test_what_has_no_json_is_refused_with_its_name(value):
    with pytest.raises(InvalidMessage, match=r"^the data of 'x' cannot be sent as JSON: "):
        encode(value, "the data of 'x'", 1000)


def test_what_is_too_large_is_refused_with_the_name_of_the_limit():
    assert len(encode("x" * 98, "it", 100)) == 100
    with pytest.raises(MessageTooLarge, match=r"it .*max_message.* 101 bytes, above the limit of 100"):
        encode("x" * 99, "it", 100)
