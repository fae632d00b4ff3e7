"""The outbox: what a consumer sends, until it ends."""

import asyncio
from contextlib import contextmanager

import pytest

from fairway.broker.effects import Grant, GroupSend, SaveState, Send
from fairway.errors import ChannelFull, MessageTooLarge
from fairway.layers.codec import pack_value
from fairway.layers.memory import MemoryLayer
from fairway.limits import BrokerLimits, ChannelRule
from fairway.worker.outbox import Outbox, adispatch_effect, current_outbox, dispatch_effect, effect_size
from fairway.worker.state import ConnectionState

REPLY = "websocket.send.T1!c1"


@pytest.fixture
def layer():
    layer = MemoryLayer()
    yield layer
    layer.close()


@pytest.fixture
def other():
    layer = MemoryLayer()
    yield layer
    layer.close()


@pytest.fixture
def outbox(layer):
    """The outbox of a message that is being consumed."""
    reader = layer.reader(["in"])
    layer.publish(Send("in", b"x", reply_channel=REPLY))
    return Outbox(reader.receive(1), reader, layer)


@contextmanager
def running(outbox):
    token = current_outbox.set(outbox)
    try:
        yield
    finally:
        current_outbox.reset(token)


def waiting(layer, channel):
    statistics = layer.statistics().channels.get(channel)
    return statistics.waiting if statistics else 0


def both(effect, layer, **options):
    """Dispatch in either form, which do the same."""
    dispatch_effect(effect, layer, **options)
    asyncio.run(adispatch_effect(effect, layer, **options))


def test_outside_a_consumer_an_effect_leaves_at_once(layer):
    both(Send("work", b"1"), layer)

    assert waiting(layer, "work") == 2


def test_inside_a_consumer_it_waits(layer, outbox):
    with running(outbox):
        both(Send("work", b"1"), layer)

    assert waiting(layer, "work") == 0
    assert outbox.effects == [Send("work", b"1")] * 2


def test_immediately_leaves_at_once(layer, outbox):
    with running(outbox):
        both(Send("work", b"1"), layer, immediately=True)

    assert waiting(layer, "work") == 2
    assert outbox.effects == []


def test_an_immediate_answer_leaves_at_once(layer, outbox):
    inbox = layer.inbox(["websocket.send.T1!"], lambda: None)
    with running(outbox):
        both(Send(REPLY, b"1"), layer, immediately=True)

    assert len(inbox.drain()) == 2


def test_effects_for_another_layer_are_kept_apart_and_named(layer, other, outbox):
    with running(outbox):
        dispatch_effect(Send("work", b"1"), layer)
        dispatch_effect(GroupSend("all", b"2"), other)
        asyncio.run(adispatch_effect(Send("work", b"3"), other))

    assert outbox.effects == [Send("work", b"1")]
    assert [effect.id for _layer, effect in outbox.elsewhere] == [
        f"{outbox.delivery.envelope.id}.e0",
        f"{outbox.delivery.envelope.id}.e1",
    ]


def test_a_run_after_consume_later_is_no_repeat(other, outbox):
    outbox.delivery.envelope.retries = 2
    outbox.append(Send("work", b""), other)

    assert outbox.elsewhere[0][1].id == f"{outbox.delivery.envelope.id}~2.e0"


def test_immediately_reaches_another_layer_too(other, outbox):
    with running(outbox):
        both(Send("work", b"1"), other, immediately=True)

    assert waiting(other, "work") == 2


def test_a_closed_outbox_sends_directly_and_warns_on_the_line_that_sends(layer, outbox):
    outbox.close()
    with running(outbox), pytest.warns(RuntimeWarning, match="the consumer of 'in' has ended"):
        both(Send("work", b"1"), layer)

    assert waiting(layer, "work") == 2
    assert outbox.effects == []


def test_the_outbox_is_bounded_in_bytes(layer, outbox):
    outbox.limit = 10
    outbox.append(Send("work", b"123456"), layer)

    with pytest.raises(MessageTooLarge, match="outbox"):
        outbox.append(Send("work", b"12345"), layer)
    outbox.append(Send("work", b"1234"), layer)
    assert len(outbox.effects) == 2


def test_sizes():
    assert effect_size(Send("a", b"123")) == 3
    assert effect_size(GroupSend("a", b"123")) == 3
    assert effect_size(SaveState("a", {"k": b"12", "gone": None})) == 2
    assert effect_size(Grant("a", 100)) == 0


def test_state_is_saved_only_when_it_changed(layer, outbox):
    outbox.save_state()
    outbox.state = ConnectionState(REPLY)
    outbox.save_state()
    assert outbox.effects == []

    outbox.state["n"] = 1
    outbox.save_state()
    assert outbox.effects == [SaveState(REPLY, {"n": pack_value(1, "")})]


def test_messages_about_the_connection_carry_its_state_as_it_is_in_the_end(layer, other, outbox):
    outbox.append(Send("work", b"", REPLY, {"n": pack_value(1, "")}), layer)
    outbox.append(Send("work", b"", "websocket.send.T1!c2", {}), layer)
    outbox.append(Send("work", b""), other)
    outbox.append(Send("work", b"", REPLY), other)
    outbox.append(GroupSend("news", b""), layer)
    outbox.state = ConnectionState(REPLY, {"n": pack_value(1, "")})
    del outbox.state["n"]
    outbox.save_state()

    effects = [*outbox.effects, *(effect for _, effect in outbox.elsewhere)]
    assert [effect.state for effect in effects if isinstance(effect, Send)] == [{}, {}, None, {}]
    assert outbox.effects[-1] == SaveState(REPLY, {"n": None})


def test_a_direct_send_tells_that_a_channel_is_full():
    layer = MemoryLayer(BrokerLimits(rules=(("*", ChannelRule(capacity=1)),)))
    dispatch_effect(Send("work", b""), layer)

    with pytest.raises(ChannelFull):
        dispatch_effect(Send("work", b""), layer)
    with pytest.raises(ChannelFull):
        asyncio.run(adispatch_effect(Send("work", b""), layer, timeout=0.01))


def test_a_delivery_that_is_handed_over_takes_nothing_more(outbox, layer):
    outbox.append(Send("work", b"\x80"), layer)
    outbox.hand_over()
    assert (outbox.is_handed_over, outbox.is_open, len(outbox.effects)) == (True, False, 1)
