import contextlib
import enum
import math

import pytest
from django.db.models import TextChoices
from django.utils.safestring import mark_safe
from hypothesis import given
from hypothesis import strategies as st

from fairway.errors import InvalidMessage, MessageTooLarge
from fairway.layers.codec import decode_message, encode_message, pack_value, unpack_value
from fairway.limits import MessageLimits

scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False),
    st.text(),
    st.binary(),
)
values = st.recursive(scalars, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=20)
messages = st.dictionaries(st.text(), values)


class Kind(TextChoices):
    JOIN = "join"


class Level(enum.IntEnum):
    HIGH = 3


class Name(str):
    __slots__ = ()


def nested(depth):
    value = 1
    for _ in range(depth):
        value = [value]
    return {"a": value}


@given(messages)
def test_every_message_comes_back_as_it_was(message):
    found = decode_message(encode_message(message))
    assert found == message
    assert repr(found) == repr(message)


def test_not_a_number_and_tuples():
    found = decode_message(encode_message({"nan": math.nan, "tuple": (1, (2,))}))
    assert math.isnan(found["nan"])
    assert found["tuple"] == [1, [2]]


def test_subclasses_arrive_as_the_plain_type():
    message = {"html": mark_safe("<b>"), "kind": Kind.JOIN, "level": Level.HIGH, Name("key"): [Name("x"), Kind.JOIN]}
    found = decode_message(encode_message(message))
    assert found == {"html": "<b>", "kind": "join", "level": 3, "key": ["x", "join"]}
    assert {type(value) for value in (*found, found["html"], found["kind"], *found["key"])} == {str}
    assert type(found["level"]) is int


@pytest.mark.parametrize("kind", [int, float, bytes])
def test_subclasses_of_the_other_scalars(kind):
    found = decode_message(encode_message({"a": type("Sub", (kind,), {})(kind(1))}))
    assert type(found["a"]) is kind


@pytest.mark.parametrize(
    ("message", "key", "text"),
    [
        ([], "", "a message is a dict, not list"),
        (None, "", "not NoneType"),
        ({1: 2}, "", "keys of a message are str, not int"),
        ({10**5000: 2}, "", "not int"),
        ({"a": {b"b": 2}}, "a", "not bytes in 'a'"),
        ({"a": {"b": [0, {"c": {1}}]}}, "a.b[1].c", r"'a.b\[1\].c' is a builtins.set"),
        ({"a": 2**63}, "a", "64-bit range, of 64 bits"),
        ({"a": -(2**63) - 1}, "a", "64-bit range"),
        ({"a": 10**5000}, "a", "64-bit range"),
        ({"a": type("Big", (int,), {})(2**70)}, "a", "64-bit range"),
        ({"a": bytearray(b"x")}, "a", "bytearray, which cannot travel"),
        ({"a": object()}, "a", "builtins.object"),
        ({"a": "\ud800"}, "", "surrogates"),
        ({"\ud800": 1}, "", "surrogates"),
    ],
)
def test_what_cannot_travel_is_named(message, key, text):
    with pytest.raises(InvalidMessage, match=text) as caught:
        encode_message(message)
    assert caught.value.key == key
    assert isinstance(caught.value, ValueError)


def test_depth_is_bounded_also_for_a_message_in_itself():
    assert decode_message(encode_message(nested(64))) == nested(64)
    with pytest.raises(InvalidMessage, match="nested deeper than 64"):
        encode_message(nested(65))
    loop = {}
    loop["again"] = loop
    with pytest.raises(InvalidMessage, match="nested deeper"):
        encode_message(loop)


def test_size_is_bounded_exactly():
    size = len(encode_message({"a": b"12345"}))
    assert encode_message({"a": b"12345"}, MessageLimits(body=size))
    with pytest.raises(MessageTooLarge) as caught:
        encode_message({"a": b"12345"}, MessageLimits(body=size - 1))
    assert (caught.value.size, caught.value.limit) == (size, size - 1)


@given(st.binary(max_size=60))
def test_foreign_bytes_are_a_message_or_an_error(body):
    with contextlib.suppress(InvalidMessage):
        assert isinstance(decode_message(body), dict)


def test_bytes_nested_too_deeply_to_be_decoded_are_an_error():
    with pytest.raises(InvalidMessage):
        decode_message(b"\x81\xa1a" + b"\x91" * 100_000 + b"\x01")


@given(values)
def test_state_values_come_back(value):
    assert unpack_value(pack_value(value, "key")) == value


def test_a_state_value_that_cannot_travel_is_named():
    with pytest.raises(InvalidMessage, match=r"user\.tags"):
        pack_value({"tags": {1}}, "user")
