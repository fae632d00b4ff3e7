"""Channel, Group and Message: what an application writes with."""

import pytest

from fairway.broker.effects import Envelope, Send
from fairway.channel import Channel, Group, Message
from fairway.errors import ChannelFull, InvalidMessage, InvalidName, MessageTooLarge
from fairway.layers.codec import decode_message, pack_value
from fairway.layers.memory import MemoryLayer
from fairway.limits import BrokerLimits, ChannelRule
from fairway.routing import route
from tests.support.chain import CLIENT, Chain
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


# --- Message ---------------------------------------------------------------------------------------------------------


def test_a_message_is_a_dict():
    content = {"text": "hi", "n": 1}
    message = Message(content, "work", None)
    message["n"] = 2

    assert message.content is content
    assert (message["text"], message["n"]) == ("hi", 2)
    assert "text" in message
    assert "bytes" not in message
    assert message.get("bytes") is None
    assert message.get("bytes", b"") == b""
    assert list(message.keys()) == ["text", "n"]
    assert list(message.values()) == ["hi", 2]
    assert list(message.items()) == [("text", "hi"), ("n", 2)]
    assert repr(message) == "<Message on work with text, n>"


def test_where_it_came_from(layer):
    message = Message({"reply_channel": "test.abc"}, "websocket.receive", layer)

    assert message.channel.name == "websocket.receive"
    assert message.channel_layer is layer
    assert message.reply_channel.name == "test.abc"
    assert message.reply_channel.channel_layer is layer
    assert (message.id, message.attempt, message.retries) == ("", 1, 0)


@pytest.mark.parametrize("content", [{}, {"reply_channel": None}, {"reply_channel": ""}])
def test_without_a_reply_channel(content):
    message = Message(content, None, None)

    assert message.reply_channel is None
    with pytest.raises(ValueError, match="no connection"):
        _ = message.state


def test_the_delivering_channel_tells_the_protocol(layer):
    reply = {"reply_channel": "test.abc"}

    with pytest.raises(InvalidMessage):
        Message(reply, "websocket.receive", layer).reply_channel.send({"status": 200})
    with pytest.raises(InvalidMessage):
        Message(reply, "http.request", layer).reply_channel.send({"text": "hi"})
    Message(reply, "work", layer).reply_channel.send({"anything": 1})


def test_a_copy_is_deep(layer):
    message = Message({"list": [1]}, "work", layer)
    copied = message.copy()
    copied["list"].append(2)

    assert message["list"] == [1]
    assert (copied.channel.name, copied.channel_layer) == ("work", layer)


def test_what_the_envelope_says():
    message = Message({}, "work", None, envelope=Envelope("m1", "work", attempt=2, retries=3))

    assert (message.id, message.attempt, message.retries) == ("m1", 2, 3)


# --- connection state ------------------------------------------------------------------------------------------------


def test_state_is_handed_over_and_saved_when_the_consumer_ends():
    def consumer(message):
        message.state["n"] = message.state["n"] + 1
        message.copy().state["copied"] = True
        assert chain.states() == []

    with Chain([route("websocket.receive", consumer)]) as chain:
        chain.run("websocket.receive", {"path": "/", "text": ""}, order=1, state={"n": pack_value(1, "")})

        assert chain.states() == [{"n": pack_value(2, ""), "copied": pack_value(value=True, key="")}]


def test_state_is_saved_even_when_the_consumer_raises(caplog):
    def consumer(message):
        message.state["n"] = 1
        raise ValueError

    with Chain([route("websocket.receive", consumer)]) as chain:
        chain.receive("x")

        assert chain.states() == [{"n": pack_value(1, "")}]


def test_state_that_cannot_be_saved_is_an_error_of_the_consumer(caplog):
    def consumer(message):
        message.state.setdefault("list", []).append(object())

    with Chain([route("websocket.receive", consumer)]) as chain:
        chain.receive("x")

        assert chain.states() == []
    assert "InvalidMessage" in caplog.text


def test_looking_at_the_state_saves_nothing():
    with Chain([route("websocket.receive", lambda message: message.state.get("n"))]) as chain:
        chain.receive("x")

        assert chain.states() == []


def test_a_message_about_the_connection_carries_its_state_along():
    """As the run leaves it: the message leaves then, too. At once means as it stands."""

    def consumer(message):
        work = Channel("work", channel_layer=chain.layer)
        work.send({"reply_channel": message.reply_channel.name}, immediately=True)
        work.send({"reply_channel": message.reply_channel.name})
        message.state["n"] = 2
        work.send({"reply_channel": message.reply_channel.name})
        work.send({"reply_channel": "websocket.send.T1!other"})
        work.send({"reply_channel": None})

    with Chain([route("websocket.receive", consumer)]) as chain:
        chain.run("websocket.receive", {"path": "/", "text": ""}, order=1, state={"n": pack_value(1, "")})
        reader = chain.layer.reader(["work"])
        envelopes = [reader.receive(1).envelope for _ in range(5)]

    assert [envelope.reply_channel for envelope in envelopes] == [CLIENT, CLIENT, CLIENT, "", ""]
    assert [envelope.state for envelope in envelopes] == [
        {"n": pack_value(1, "")},
        {"n": pack_value(2, "")},
        {"n": pack_value(2, "")},
        None,
        None,
    ]


def test_a_message_to_another_layer_carries_the_state_as_it_is_in_the_end():
    def consumer(message):
        Channel("work", channel_layer=other).send({"reply_channel": message.reply_channel.name})
        message.state["n"] = 2

    other = MemoryLayer()
    with Chain([route("websocket.receive", consumer)]) as chain:
        chain.run("websocket.receive", {"path": "/", "text": ""}, order=1)
        assert other.reader(["work"]).receive(1).envelope.state == {"n": pack_value(2, "")}
    other.close()


def test_a_message_that_carries_no_state_asks_the_server():
    seen = []

    def consumer(message):
        seen.append(dict(message.state))
        message.state["n"] = 2

    with Chain([route("work", consumer)]) as chain:
        Channel("work", channel_layer=chain.layer).send({"reply_channel": CLIENT})
        ask = wait_until(lambda: [item for item in chain.look() if hasattr(item, "question")])[0]
        assert (ask.question, ask.about) == ("state", CLIENT)
        chain.inbox.answer(ask.token, {"n": pack_value(1, "")})
        wait_until(chain.states)

        assert seen == [{"n": 1}]
        assert chain.states() == [{"n": pack_value(2, "")}]


def test_a_coroutine_waits_for_the_server_s_answer():
    seen = []

    async def consumer(message):
        state = await message.astate()
        seen.append(dict(state))
        assert message.state is await message.astate() is state
        assert message.is_current
        state["n"] = 2

    with Chain([route("work", consumer)]) as chain:
        Channel("work", channel_layer=chain.layer).send({"reply_channel": CLIENT})
        ask = wait_until(lambda: [item for item in chain.look() if hasattr(item, "question")])[0]
        chain.inbox.answer(ask.token, {"n": pack_value(1, "")})
        wait_until(chain.states)

        assert seen == [{"n": 1}]
        assert chain.states() == [{"n": pack_value(2, "")}]


async def test_a_message_that_nobody_consumes_is_not_current_and_its_state_is_its_own():
    message = Message({"reply_channel": CLIENT}, "work", None)
    assert not message.is_current
    (await message.astate())["n"] = 1
    assert dict(message.state) == {"n": 1}


def test_state_outside_a_worker_is_not_saved(layer):
    message = Message({"reply_channel": CLIENT}, "work", None)
    message.state["n"] = 1

    assert message.state is message.state
    assert dict(message.state) == {"n": 1}


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


def test_the_user_is_found_when_they_are_looked_at():
    found = []
    message = Message({}, "c", None)
    message.find_user = lambda: found.append("once") or "ada"
    assert found == []
    assert [message.user, message.user] == ["ada", "ada"]
    assert found == ["once"]


@pytest.mark.parametrize("name", ["user", "channel_session", "http_session"])
def test_what_a_decorator_would_set_names_it(name):
    with pytest.raises(AttributeError, match=f"this message has no '{name}': decorate its consumer with fairway"):
        getattr(Message({}, "c", None), name)


def test_any_other_attribute_is_missing_as_always():
    with pytest.raises(AttributeError, match="'Message' object has no attribute 'usre'"):
        Message({}, "c", None).usre  # noqa: B018
