"""Channel and Group: what an application sends with."""

import pytest

from fairway.broker.effects import Send
from fairway.channel import Channel, Group
from fairway.errors import ChannelFull, InvalidMessage, InvalidName, MessageTooLarge
from fairway.layers.codec import decode_message
from fairway.layers.memory import MemoryLayer
from fairway.limits import BrokerLimits, ChannelRule
from fairway.routing import route
from tests.support.chain import Chain
from tests.support.waiting import wait_until

LAYERS = {
    "default": {"BACKEND": "fairway.layers.MemoryLayer", "ROUTING": []},
    "other": {"BACKEND": "fairway.layers.MemoryLayer", "ROUTING": []},
}


@pytest.fixture
def layer():
    layer = MemoryLayer()
    yield layer
    layer.close()


def take(layer, channel):
    delivery = layer.reader([channel]).receive(1)
    return decode_message(delivery.body) if delivery else None


# --- Channel ---------------------------------------------------------------------------------------------------------


def test_a_message_outside_a_consumer_leaves_at_once(layer):
    Channel("work", channel_layer=layer).send({"n": 1})

    assert take(layer, "work") == {"n": 1}


async def test_the_same_from_a_coroutine(layer):
    await Channel("work", channel_layer=layer).asend({"n": 1})

    assert take(layer, "work") == {"n": 1}


def test_layers_by_alias(settings):
    settings.CHANNEL_LAYERS = LAYERS
    Channel("work").send({"n": 1})
    Channel("work", "other").send({"n": 2})

    assert take(Channel("x").channel_layer, "work") == {"n": 1}
    assert take(Group("x", alias="other").channel_layer, "work") == {"n": 2}


def test_names(layer):
    channel = Channel(b"work", channel_layer=layer)

    assert str(channel) == channel.name == "work"
    assert repr(channel) == "<Channel work>"
    assert Group(b"all").name == str(Group("all")) == "all"
    assert repr(Group("all")) == "<Group all>"


@pytest.mark.parametrize("name", ["", "a b", "a!b!c", "a?", "x" * 100, None, 5, "fairway.dead", "fairway.x"])
def test_wrong_channel_names_are_errors_when_something_is_sent(layer, name):
    channel = Channel(name, channel_layer=layer)

    with pytest.raises(InvalidName):
        channel.send({})


@pytest.mark.parametrize("content", [None, "text", [1], b"", 5])
def test_a_channel_takes_dicts(layer, content):
    with pytest.raises(TypeError, match="a message is a dict"):
        Channel("work", channel_layer=layer).send(content)


def test_what_cannot_travel_names_the_key(layer):
    with pytest.raises(InvalidMessage, match=r"'when\[0\]'") as caught:
        Channel("work", channel_layer=layer).send({"when": [object()]})
    assert caught.value.key == "when[0]"


def test_too_much_is_an_error(layer):
    with pytest.raises(MessageTooLarge):
        Channel("work", channel_layer=layer).send({"data": bytes(9 * 2**20)})


def test_a_full_channel_is_an_error():
    layer = MemoryLayer(BrokerLimits(rules=(("*", ChannelRule(capacity=1)),)))
    channel = Channel("work", channel_layer=layer)
    channel.send({})

    with pytest.raises(ChannelFull):
        channel.send({})
    with pytest.raises(ChannelFull):
        channel.send({}, timeout=0.01)


def test_a_message_is_encoded_when_it_is_sent(layer):
    content = {"list": [1]}

    def consumer(message):
        Channel("work", channel_layer=layer).send(content)
        content["list"].append(2)

    with Chain([route("in", consumer)], layer=layer) as chain:
        Channel("in", channel_layer=layer).send({})
        wait_until(lambda: chain.layer.statistics().committed == 1)
        assert take(layer, "work") == {"list": [1]}


@pytest.mark.parametrize("name", ["websocket.send.T1!c1", "http.response.T1!c1"])
def test_replies_are_checked_by_the_name_of_the_reply_channel(layer, name):
    with pytest.raises(InvalidMessage, match="unknown key 'txt'"):
        Channel(name, channel_layer=layer).send({"txt": "hi"})


# --- Group -----------------------------------------------------------------------------------------------------------


def test_a_group_reaches_its_members(layer):
    group = Group("all of us", channel_layer=layer)
    group.add("work")
    group.add(Channel("more", channel_layer=layer))

    assert sorted(group.channels()) == ["more", "work"]
    group.send({"value": 42})
    assert take(layer, "work") == take(layer, "more") == {"value": 42}

    group.discard(Channel("work", channel_layer=layer))
    group.discard("more")
    assert group.channels() == []


def test_a_member_is_a_channel(layer):
    with pytest.raises(InvalidName):
        Group("all", channel_layer=layer).add(None)


async def test_a_group_from_coroutines(layer):
    group = Group("all", channel_layer=layer)
    await group.aadd("work")
    await group.asend({"value": 42})

    assert await group.achannels() == ["work"]
    assert take(layer, "work") == {"value": 42}
    await group.adiscard("work")
    assert await group.achannels() == []


@pytest.mark.parametrize("content", [None, "text", [1]])
def test_a_group_takes_dicts(layer, content):
    with pytest.raises(ValueError, match="a message is a dict"):
        Group("all", channel_layer=layer).send(content)


@pytest.mark.parametrize("content", [{"text": "hi", "txt": 1}, {"type": "nodot"}, {"type": "a.b", "x": object()}])
def test_group_messages_are_checked(layer, content):
    with pytest.raises(InvalidMessage):
        Group("all", channel_layer=layer).send(content)


@pytest.mark.parametrize("name", ["", "x" * 201, None, "fairway.x"])
def test_wrong_group_names(layer, name):
    group = Group(name, channel_layer=layer)

    for call in (lambda: group.send({}), lambda: group.add("work"), lambda: group.discard("work"), group.channels):
        with pytest.raises(InvalidName):
            call()


def test_joining_is_never_buffered():
    def consumer(message):
        group = Group("all", channel_layer=chain.layer)
        group.add("work")
        seen.append(group.channels())
        group.discard("work")
        seen.append(group.channels())

    seen = []
    with Chain([route("websocket.receive", consumer)]) as chain:
        chain.receive("x")
    assert seen == [["work"], []]


# --- a task that outlives its consumer -------------------------------------------------------------------------------


async def send_each_way(layer):
    Channel("work", channel_layer=layer).send({})
    await Channel("work", channel_layer=layer).asend({})
    Group("all", channel_layer=layer).send({})


async def test_the_warning_points_at_the_line_that_sends(layer):
    from fairway.worker.outbox import Outbox, current_outbox

    reader = layer.reader(["in"])
    layer.publish(Send("in", b"x"))
    outbox = Outbox(reader.receive(1), reader, layer)
    outbox.close()
    token = current_outbox.set(outbox)
    try:
        with pytest.warns(RuntimeWarning) as caught:
            await send_each_way(layer)
    finally:
        current_outbox.reset(token)
    assert {warning.filename for warning in caught} == {__file__}
    assert len(caught) == 3
