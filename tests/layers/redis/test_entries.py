"""Stream entries: what is written comes back, and what is unknown is passed over."""

from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from fairway.broker.effects import (
    Abandoned,
    Add,
    Credit,
    Discard,
    Done,
    Envelope,
    Frame,
    Grant,
    GroupFrame,
    OwnerGone,
    Policy,
    Refused,
    SaveState,
    Send,
    State,
)
from fairway.layers.redis.entries import (
    Asked,
    Readers,
    delivery_of,
    fields_of,
    fields_of_items,
    header_of,
    items_of,
    pack,
    pack_state,
    size_of,
)

texts = st.text(max_size=20)
bodies = st.binary(max_size=20)
numbers = st.integers(0, 2**53)
states = st.none() | st.dictionaries(texts, bodies, max_size=3)
effects = st.one_of(
    st.builds(Send, texts, bodies),
    st.builds(SaveState, texts, st.dictionaries(texts, st.none() | bodies, max_size=3)),
    st.builds(Grant, texts, numbers),
)
items = st.one_of(
    st.builds(GroupFrame, texts, bodies, st.booleans(), texts),
    st.builds(Done, texts, numbers),
    st.builds(Add, texts, texts, numbers),
    st.builds(Discard, texts, texts),
)


def wire(fields: list[str | bytes]) -> list[bytes]:
    """What Redis gives back."""
    return [field.encode() if isinstance(field, str) else field for field in fields]


def as_item(effect: Send | SaveState | Grant) -> Any:
    if isinstance(effect, Send):
        return Frame(effect.channel, effect.body)
    if isinstance(effect, SaveState):
        return State(effect.channel, effect.changes)
    return Credit(effect.channel, effect.size)


@given(st.lists(effects, max_size=5))
def test_effects_arrive_as_items_in_their_order(sent: list[Send | SaveState | Grant]) -> None:
    fields: list[str | bytes] = []
    size = 0
    for effect in sent:
        more, counts = fields_of(effect)
        fields += more
        size += counts
    assert items_of(wire(fields)) == [as_item(effect) for effect in sent]
    assert size_of(wire(fields)) == size


@given(st.lists(items, max_size=5))
def test_items_arrive_as_they_are(sent: list[Any]) -> None:
    fields = wire(fields_of_items(sent))
    assert items_of(fields) == sent
    assert size_of(fields) == sum(len(item.body) for item in sent if isinstance(item, GroupFrame))


def test_what_scripts_write_is_understood() -> None:
    fields = [
        [b"a", pack(["s1!c1", 3, "lost", 2])],
        [b"x", pack(["s1!c1", 4, "w", "capacity"])],
        [b"o", b"view!"],
        [b"r", pack(["w", "x"])],
        [b"r", b"\x90"],
        [b"?", pack(["me/1", "state", "s1!c1"])],
    ]
    assert items_of([part for pair in fields for part in pair]) == [
        Abandoned("s1!c1", 3, "lost", 2),
        Refused("s1!c1", 4, "w", "capacity"),
        OwnerGone("view!"),
        Readers(["w", "x"]),
        Readers([]),
        Asked("me/1", "state", "s1!c1"),
    ]


def test_unknown_fields_are_passed_over() -> None:
    fields = [b"new", b"?", b"b", b"its body", b"f", b"s1!c", b"b", b"x", b"later", b""]
    assert items_of(fields) == [Frame("s1!c", b"x")]


def test_an_item_that_no_client_tells_writes_nothing() -> None:
    assert fields_of_items([OwnerGone("view!")]) == []


@given(
    st.builds(
        Envelope,
        id=texts,
        channel=texts,
        reply_channel=texts,
        order=st.integers(-1, 2**53),
        attempt=st.integers(1, 99),
        policy=st.sampled_from(Policy),
        state=states,
        retries=st.integers(0, 99),
    ),
    bodies,
)
def test_a_delivery_is_what_was_sent(envelope: Envelope, body: bytes) -> None:
    fields = [b"h", header_of(envelope, 5), b"s", pack_state(envelope.state), b"b", body]
    delivery = delivery_of(fields, 7)
    assert (delivery.envelope, delivery.body, delivery.receipt) == (envelope, body, 7)
    assert delivery_of([*fields, b"x", b"1795000000000"], 7) == delivery


def test_a_header_may_grow() -> None:
    header = msgspec.msgpack.encode(["id", "w", "s1!c", 1, 1, 0, 0, 5, "new"])
    assert delivery_of([b"h", header, b"s", b"", b"b", b"x"], 1).envelope.channel == "w"
