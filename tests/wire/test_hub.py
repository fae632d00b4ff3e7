"""Frames of the hub: what is cut, how it may be split, and that nothing but a frame is ever taken for one."""

import tracemalloc
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairway.broker.effects import Delivery, Ending, Envelope, Frame, GroupSend, SaveState, Send
from fairway.errors import MessageTooLarge
from fairway.wire import hub
from fairway.wire.hub import (
    FRAME_LIMIT,
    HELLO_LIMIT,
    MAGIC,
    Announce,
    Answer,
    Call,
    Commit,
    Delivered,
    Demand,
    FrameBroken,
    FrameReader,
    FromClient,
    FromHub,
    Hello,
    Items,
    Mark,
    Open,
    Own,
    Ping,
    Pong,
    Publish,
    Readers,
    Release,
    Reply,
    Submit,
    Welcome,
    pack,
    pack_items,
)

numbers = st.integers(0, 2**63)
texts = st.text(max_size=20)
effects = st.one_of(
    st.builds(Send, texts, st.binary(max_size=50)),
    st.builds(GroupSend, texts, st.binary(max_size=50), st.booleans()),
    st.builds(SaveState, texts, st.dictionaries(texts, st.none() | st.binary(max_size=9), max_size=3)),
)
from_client = st.one_of(
    st.builds(Hello, st.just(MAGIC), numbers, numbers, texts),
    st.builds(Open, numbers, numbers, st.lists(texts, max_size=3), st.integers(-5, 5), st.integers(-5, 5)),
    st.builds(Commit, numbers, numbers, st.sampled_from(Ending), st.lists(effects, max_size=3)),
    st.builds(Release, numbers, st.lists(numbers, max_size=3)),
    st.builds(Demand, numbers, st.integers(-(2**63), 2**63)),
    st.builds(Publish, numbers, effects, st.floats(0, 10)),
    st.builds(Call, numbers, texts, st.lists(texts, max_size=3)),
    st.builds(Submit, st.builds(Envelope, texts, texts), st.binary(max_size=200)),
    st.builds(Mark, texts, st.sampled_from(["congested", "departed", ""])),
    st.builds(Reply, numbers, st.none() | st.lists(texts, max_size=3)),
    st.builds(Announce, st.lists(texts, max_size=3)),
    st.builds(Ping),
)


def reader(limit: int = FRAME_LIMIT, kinds: Any = FromClient) -> FrameReader[Any]:
    """Return a reader past the hello."""
    return FrameReader(kinds, limit)


def framed(payload: bytes) -> bytes:
    """Return bytes with their length before them."""
    return len(payload).to_bytes(4, "big") + payload


@given(st.lists(from_client, max_size=8), st.data())
def test_frames_are_the_same_however_their_bytes_are_split(frames: list[Any], data: st.DataObject) -> None:
    stream = b"".join(map(pack, frames))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=10)))
    cutting, found = reader(), []
    for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        found += cutting.receive(stream[start:end])
    assert found == frames
    assert not cutting.is_unfinished


@given(st.lists(from_client, min_size=1, max_size=4))
def test_frames_that_come_byte_by_byte(frames: list[Any]) -> None:
    cutting, found = reader(), []
    for byte in b"".join(map(pack, frames)):
        found += cutting.receive(bytes([byte]))
    assert found == frames


@given(from_client)
def test_a_frame_of_which_something_is_missing_is_unfinished(frame: Any) -> None:
    data = pack(frame)
    for size in range(1, len(data)):
        cutting = reader()
        assert cutting.receive(data[:size]) == []
        assert cutting.is_unfinished


@given(st.binary(max_size=300), st.integers(1, 50))
def test_garbage_is_no_frame(garbage: bytes, step: int) -> None:
    """Whatever comes, there is a list of frames or a `FrameBroken`."""
    for stream in (garbage, framed(garbage)):
        cutting = reader(HELLO_LIMIT)
        try:
            for start in range(0, len(stream), step):
                cutting.receive(stream[start : start + step])
        except FrameBroken:
            continue


values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | texts | st.binary(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts | st.integers(0, 9), inner, max_size=3),
    max_leaves=6,
)


@given(st.sampled_from(range(60)), st.lists(values, max_size=7))
def test_wrong_fields_break_the_frame(tag: int, fields: list[Any]) -> None:
    """Any types in any field: it is a frame of its kind, or none at all."""
    try:
        found = reader().receive(framed(msgspec.msgpack.encode([tag, *fields])))
    except FrameBroken:
        found = []
    assert len(found) <= 1


@pytest.mark.parametrize(
    "frame",
    [
        [11, 1, 2, 7, []],
        [11, 1, 2, -1, []],
        [11, 1, 2, "0", []],
        [11, 1, 2, 0, [["nothing", "x"]]],
        [11, 1, 2, 0, "outbox"],
        [34, "a!b", "vanished"],
        [33, 1, 17],
        [33, 1, [["x"]]],
        [10, 1, 2, [b"x"], 1],
        [10, "1", 2, ["x"], 1],
        [20, 1, ["send", "x", "no bytes"]],
        [99],
        [],
        {},
        "text",
    ],
)
def test_what_is_no_frame(frame: Any) -> None:
    with pytest.raises(FrameBroken):
        reader().receive(framed(msgspec.msgpack.encode(frame)))


def test_fields_beyond_the_known_are_ignored() -> None:
    assert reader().receive(framed(msgspec.msgpack.encode([12, 1, [2], {"new": [1]}, b""]))) == [Release(1, [2])]


def test_fields_that_are_missing_have_their_defaults() -> None:
    assert reader().receive(framed(msgspec.msgpack.encode([10, 1, 2, ["x"], 3]))) == [Open(1, 2, ["x"], 3, 0)]


def test_deep_nesting_is_no_frame() -> None:
    for nesting in (b"\x91" * 100_000, b"\x81\x00" * 100_000):
        with pytest.raises(FrameBroken):
            reader().receive(framed(b"\x94\x16\x01\xa1x" + nesting))


@pytest.mark.parametrize(
    "payload",
    [
        b"\x94\x16\x01\xa1x\xdd\xff\xff\xff\xff",
        b"\x95\x0a\x01\x02\xdd\xff\xff\xff\xff",
        b"\x93\x0c\x01\xdd\xff\xff\xff\xff",
        b"\x93\x1e\x01\xdd\xff\xff\xff\xff",
        b"\xdd\xff\xff\xff\xff",
        b"\x93\x1f\xc6\xff\xff\xff\xff\xc4\x00",
        b"\x94\x16\x01\xa1x" + b"\xdc\xff\xff" * 900,
    ],
)
def test_a_declared_length_allocates_nothing(payload: bytes) -> None:
    """A few bytes that promise four thousand million elements."""
    cutting = reader()
    tracemalloc.start()
    try:
        with pytest.raises(FrameBroken):
            cutting.receive(framed(payload))
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()


def test_a_frame_that_is_announced_allocates_nothing() -> None:
    cutting = reader()
    tracemalloc.start()
    try:
        assert cutting.receive(FRAME_LIMIT.to_bytes(4, "big")) == []
        assert tracemalloc.get_traced_memory()[1] < 100_000
    finally:
        tracemalloc.stop()


def test_a_frame_above_the_limit() -> None:
    """It is refused by its length alone, before the rest of it comes."""
    cutting = reader(HELLO_LIMIT)
    with pytest.raises(FrameBroken, match="a frame of 4097 bytes, above the limit of 4096"):
        cutting.receive((HELLO_LIMIT + 1).to_bytes(4, "big"))
    cutting = reader(HELLO_LIMIT)
    assert cutting.receive(HELLO_LIMIT.to_bytes(4, "big")) == []


def test_the_limit_can_be_raised() -> None:
    cutting = reader(20)
    big = pack(Announce(["x" * 30]))
    with pytest.raises(FrameBroken):
        cutting.receive(big)
    cutting = reader(20)
    assert cutting.receive(pack(Ping())) == [Ping()]
    cutting.limit = 100
    assert cutting.receive(big) == [Announce(["x" * 30])]


def test_a_large_frame_in_small_pieces_is_joined_once() -> None:
    """Each piece is appended: nothing of what is there is copied again until the frame is whole."""
    frame = Submit(Envelope("m", "c"), bytes(8 * 1024 * 1024))
    data, cutting = pack(frame), reader()
    copied = 0

    class Counting(bytearray):
        def __bytes__(self) -> bytes:
            nonlocal copied
            copied += len(self)
            return bytes(memoryview(self))

    cutting._buffer = Counting()
    found = []
    for start in range(0, len(data), 1000):
        found += cutting.receive(data[start : start + 1000])
    assert found == [frame]
    assert copied == len(data)


def test_nobody_packs_what_nobody_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub, "FRAME_LIMIT", 100)
    assert len(pack(Publish(1, Send("c", b"x" * 60)))) < 104
    with pytest.raises(MessageTooLarge, match="above the limit of 100"):
        pack(Publish(1, Send("c", b"x" * 100)))


def test_items_take_as_many_frames_as_they_need(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub, "FRAME_LIMIT", 100)
    items = [Frame("c!1", bytes([number]) * 30) for number in range(9)]
    cutting = reader(100, FromHub)
    found = [frame for data in pack_items(items) for frame in cutting.receive(data)]
    assert len(found) > 3
    assert [item for frame in found for item in frame.items] == items
    with pytest.raises(MessageTooLarge):
        list(pack_items([Frame("c!1", b"x" * 100)]))


def test_what_a_hub_says_is_read_back() -> None:
    frames = [
        Welcome(2, "e"),
        Delivered(1, Delivery(Envelope("m", "c", "r!1", 3, state={"k": b"v"}), b"body", 9)),
        Answer(4, {"k": [b"v"]}),
        Answer(5, error=["ChannelFull", "c", "at capacity"]),
        Items([Frame("c!1", b"x")]),
        Readers(["a"]),
        Pong(),
    ]
    assert reader(kinds=FromHub).receive(b"".join(map(pack, frames))) == frames


def test_a_client_may_not_say_what_a_hub_says() -> None:
    for frame in (Welcome(2, "e"), Pong(), Readers([])):
        with pytest.raises(FrameBroken):
            reader().receive(pack(frame))
    with pytest.raises(FrameBroken):
        reader(kinds=FromHub).receive(pack(Own(1, ["a!"])))
