"""Message: what a consumer receives."""

import pytest

from fairway.broker.effects import Envelope
from fairway.channel import Channel
from fairway.errors import InvalidMessage
from fairway.layers.codec import pack_value
from fairway.layers.memory import MemoryLayer
from fairway.message import Message
from fairway.routing import route
from tests.support.chain import CLIENT, Chain
from tests.support.waiting import wait_until


@pytest.fixture
def layer():
    layer = MemoryLayer()
    yield layer
    layer.close()


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


def test_the_user_is_found_when_they_are_looked_at():
    found = []
    message = Message({}, "c", None)
    message.find_user = lambda _message: found.append("once") or "ada"
    assert found == []
    assert [message.user, message.user] == ["ada", "ada"]
    assert found == ["once"]


def test_the_channel_session_is_found_when_it_is_looked_at():
    found = []
    message = Message({}, "c", None)
    message.find_channel_session = lambda asked: found.append(asked) or {"n": 1}
    assert found == []
    assert [message.channel_session, message.channel_session] == [{"n": 1}, {"n": 1}]
    assert found == [message]


@pytest.mark.parametrize("name", ["user", "channel_session", "http_session"])
def test_what_a_decorator_would_set_names_it(name):
    with pytest.raises(AttributeError, match=f"this message has no '{name}': decorate its consumer with fairway"):
        getattr(Message({}, "c", None), name)


def test_any_other_attribute_is_missing_as_always():
    with pytest.raises(AttributeError, match="'Message' object has no attribute 'usre'"):
        Message({}, "c", None).usre  # noqa: B018
