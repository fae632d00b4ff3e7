"""Several streams on one socket: who gets what, what a wrong frame is answered, and what fails."""

import json
import logging
import threading

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from fairway import Message, route_class
from fairway.broker.effects import Add, Discard
from fairway.consumers import BaseConsumer, JsonWebsocketConsumer, WebsocketConsumer, WebsocketDemultiplexer
from fairway.consumers.multiplexer import WebsocketMultiplexer
from fairway.errors import DenyConnection, SendNotAvailableOnDemultiplexer
from fairway.layers import MemoryLayer
from fairway.layers.codec import decode_message
from tests.support.chain import CLIENT, Chain

seen = []


@pytest.fixture(autouse=True)
def nothing_seen():
    seen.clear()


class EchoConsumer(JsonWebsocketConsumer):
    def connect(self, message, multiplexer, **kwargs):
        multiplexer.send({"status": "I just connected!"})

    def disconnect(self, message, multiplexer, **kwargs):
        seen.append(("disconnect", multiplexer.stream))

    def receive(self, content, multiplexer, **kwargs):
        multiplexer.send({"original_message": content, **kwargs})

    def chat_message(self, event, multiplexer, **kwargs):
        multiplexer.send({"event": event["n"]})


class AnotherConsumer(JsonWebsocketConsumer):
    def connection_groups(self, **kwargs):
        return ["other"]

    def receive(self, content, multiplexer=None, **kwargs):
        """Do nothing with it."""


class AsyncEcho(JsonWebsocketConsumer):
    async def connect(self, message, multiplexer, **kwargs):
        EchoConsumer.connect(self, message, multiplexer)

    async def disconnect(self, message, multiplexer, **kwargs):
        EchoConsumer.disconnect(self, message, multiplexer)

    async def receive(self, content, multiplexer, **kwargs):
        EchoConsumer.receive(self, content, multiplexer, **kwargs)

    async def chat_message(self, event, multiplexer, **kwargs):
        EchoConsumer.chat_message(self, event, multiplexer)


def function(message, multiplexer, **kwargs):
    seen.append((message.channel_name, message.content.get("text"), kwargs))


async def coroutine(message, multiplexer, **kwargs):
    function(message, multiplexer, **kwargs)


class Demultiplexer(WebsocketDemultiplexer):
    """The example of the documentation of Channels 1."""

    consumers = {
        "echo": EchoConsumer,
        "other": AnotherConsumer,
    }

    def connection_groups(self, **kwargs):
        return ["binding.values"]


class AsyncDemultiplexer(Demultiplexer):
    consumers = {"echo": AsyncEcho, "other": AnotherConsumer}


class MixedDemultiplexer(Demultiplexer):
    consumers = {"echo": EchoConsumer, "other": AnotherConsumer, "async": coroutine}


BOTH = pytest.mark.parametrize("consumer", [Demultiplexer, AsyncDemultiplexer, MixedDemultiplexer])


def payloads(frames):
    return [json.loads(frame["text"]) if "text" in frame else frame for frame in frames]


def memberships(chain, kind):
    return {item.group for item in chain.look() if isinstance(item, kind)}


@BOTH
def test_a_life_with_two_streams(consumer, caplog):
    with Chain([route_class(consumer, path="^/(?P<room>[a-z]+)/")]) as chain:
        greeting = {"stream": "echo", "payload": {"status": "I just connected!"}}
        assert payloads(chain.connect("/blue/")) == [{"accept": True}, greeting, {"accept": True}]
        assert memberships(chain, Add) == {"binding.values", "other"}
        answer = chain.receive('{"stream": "echo", "payload": {"a": ["\\ud83d\\ude00"]}}', "/blue/")
        payload = {"original_message": {"a": ["\U0001f600"]}, "room": "blue"}
        assert payloads(answer) == [{"stream": "echo", "payload": payload}]
        assert chain.receive('{"stream": "other", "payload": {}}', "/blue/", order=2) == []
        event = {"path": "/blue/", "event": {"type": "chat.message", "n": 1}}
        chain.run("websocket.event", event, order=3)
        assert payloads(chain.frames())[-1] == {"stream": "echo", "payload": {"event": 1}}
        chain.run("websocket.disconnect", {"path": "/blue/", "code": 1000}, order=4)
        assert memberships(chain, Discard) == {"binding.values", "other"}
    assert ("disconnect", "echo") in seen
    assert caplog.records == []


@pytest.mark.parametrize("consumer", [function, coroutine])
def test_a_stream_may_be_a_function(consumer):
    class Functions(WebsocketDemultiplexer):
        consumers = {"f": consumer}

    with Chain([route_class(Functions, path="^/(?P<room>[a-z]+)/")]) as chain:
        chain.connect("/blue/")
        chain.receive('{"stream": "f", "payload": {"a": 1}}', "/blue/")
        chain.run("websocket.disconnect", {"path": "/blue/", "code": 1000}, order=2)
    kwargs = {"room": "blue"}
    assert seen == [
        ("websocket.connect", None, kwargs),
        ("websocket.receive", '{"a": 1}', kwargs),
        ("websocket.disconnect", None, kwargs),
    ]


def test_a_stream_may_be_a_method_as_that_of_a_binding():
    class Values:
        @classmethod
        def consumer(cls, message, **kwargs):
            seen.append((cls, message["text"], kwargs["multiplexer"].stream))

    class Bound(WebsocketDemultiplexer):
        consumers = {"values": Values.consumer}

    with Chain([route_class(Bound)]) as chain:
        chain.receive('{"stream": "values", "payload": {}}')
    assert seen == [(Values, "{}", "values")]


def test_a_stream_gets_only_the_messages_that_it_has_methods_for():
    class Narrow(BaseConsumer):
        method_mapping = {"websocket.receive": "receive", "websocket.event": "event"}

        def receive(self, message, multiplexer):
            multiplexer.send({"text": message["text"]})

        def event(self, message, multiplexer):
            multiplexer.send(message["event"])

    class Demux(WebsocketDemultiplexer):
        consumers = {"narrow": Narrow}

    with Chain([route_class(Demux)]) as chain:
        assert chain.connect() == [{"accept": True}]
        assert payloads(chain.receive('{"stream": "narrow", "payload": {}}'))[0]["payload"] == {"text": "{}"}
        chain.run("websocket.event", {"path": "/", "event": {"type": "a.b"}}, order=2)
        assert payloads(chain.frames())[-1]["payload"] == {"type": "a.b"}
        chain.run("websocket.disconnect", {"path": "/", "code": 1000}, order=3)
        assert len(chain.frames()) == 3


def test_blocking_streams_run_on_threads_where_another_is_a_coroutine():
    class Where(JsonWebsocketConsumer):
        def receive(self, content, multiplexer, **kwargs):
            seen.append(threading.current_thread())

    class AsyncWhere(JsonWebsocketConsumer):
        async def receive(self, content, multiplexer, **kwargs):
            seen.append(threading.current_thread())

    class Demux(WebsocketDemultiplexer):
        consumers = {"blocking": Where, "coroutine": AsyncWhere}

    with Chain([route_class(Demux)]) as chain:
        chain.receive('{"stream": "blocking", "payload": {}}')
        chain.receive('{"stream": "coroutine", "payload": {}}', order=2)
    assert seen[0] is not seen[1]


def test_the_message_of_a_stream_is_the_same_but_for_its_text():
    class Stateful(JsonWebsocketConsumer):
        def receive(self, content, **kwargs):
            self.state.count = content["n"]
            seen.append((self.message.id, self.message.user, self.message["order"], self.message["text"]))

    class Demux(WebsocketDemultiplexer):
        consumers = {"s": Stateful}

        def raw_receive(self, message, **kwargs):
            message.user = "ada"
            super().raw_receive(message, **kwargs)
            seen.append((self.state.count, message["text"]))

    text = '{"stream": "s", "payload": {"n": 5}}'
    with Chain([route_class(Demux)]) as chain:
        chain.receive(text)
        assert seen == [("m1", "ada", 1, '{"n": 5}'), (5, text)]
        assert [list(changes) for changes in chain.states()] == [["count"]]


def test_a_multiplexer_of_ones_own():
    class Shouting(WebsocketMultiplexer):
        @classmethod
        def encode_json(cls, content):
            return f"!{content}!"

    class Demux(Demultiplexer):
        multiplexer_class = Shouting

    with Chain([route_class(Demux)]) as chain:
        (frame,) = chain.receive('{"stream": "echo", "payload": {}}')
        assert frame["text"].startswith("!{'stream': 'echo'")
        (frame,) = chain.receive("x", order=2)
        assert frame["text"].startswith("!{'stream': None, 'error'")


# --- wrong frames ----------------------------------------------------------------------------------------------------

SHAPE = 'send {"stream": <its name>, "payload": {...}}'
NAME = "the stream of a frame is a text, not"
OBJECT = "the payload of a frame is an object, not"

WRONG = {
    "nonsense": (None, f"this is no JSON (Expecting value: line 1 column 1 (char 0)); {SHAPE}"),
    "": (None, f"this is no JSON (Expecting value: line 1 column 1 (char 0)); {SHAPE}"),
    "[1]": (None, f"a frame is an object, not an array; {SHAPE}"),
    '"x"': (None, f"a frame is an object, not a text; {SHAPE}"),
    "null": (None, f"a frame is an object, not null; {SHAPE}"),
    "1": (None, f"a frame is an object, not a number; {SHAPE}"),
    "{}": (None, f"the frame has no stream and no payload; {SHAPE}"),
    '{"stream": "echo"}': ("echo", f"the frame has no payload; {SHAPE}"),
    '{"payload": {}}': (None, f"the frame has no stream; {SHAPE}"),
    '{"stream": "x", "payload": {}}': ("x", "there is no stream 'x'; this socket has echo, other"),
    '{"stream": "\\ud800", "payload": {}}': (None, f"this is no JSON (it holds half of a surrogate pair); {SHAPE}"),
    '{"stream": ["echo"], "payload": {}}': (None, f"{NAME} an array; {SHAPE}"),
    '{"stream": null, "payload": {}}': (None, f"{NAME} null; {SHAPE}"),
    '{"stream": "echo", "payload": "x"}': ("echo", f"{OBJECT} a text; {SHAPE}"),
    '{"stream": "echo", "payload": null}': ("echo", f"{OBJECT} null; {SHAPE}"),
    '{"stream": "echo", "payload": true}': ("echo", f"{OBJECT} a boolean; {SHAPE}"),
}


@pytest.mark.parametrize("consumer", [Demultiplexer, AsyncDemultiplexer])
@pytest.mark.parametrize("text", WRONG)
def test_a_wrong_frame_is_answered_and_is_one_line_in_the_log(consumer, text, caplog):
    stream, error = WRONG[text]
    with Chain([route_class(consumer)]) as chain:
        assert payloads(chain.receive(text)) == [{"stream": stream, "error": error}]
        assert len(chain.receive('{"stream": "echo", "payload": {}}', order=2)) == 1
    (record,) = caplog.records
    assert (record.name, record.levelno, record.exc_info) == ("fairway.consumers", logging.WARNING, None)
    name = consumer.__name__
    assert record.getMessage() == f"{name} got a wrong frame from {CLIENT} on path '/': {error}"


def test_a_binary_frame_is_a_wrong_frame(caplog):
    with Chain([route_class(Demultiplexer)]) as chain:
        chain.run("websocket.receive", {"path": "/", "bytes": b"{}"}, order=1)
        assert payloads(chain.frames()) == [{"stream": None, "error": f"this is a binary frame; {SHAPE}"}]


@pytest.mark.parametrize("consumer", [Demultiplexer, AsyncDemultiplexer])
def test_deep_nesting_is_never_a_traceback(consumer, caplog):
    with Chain([route_class(consumer)]) as chain:
        for order, depth in enumerate([*range(900, 1000), 100_000], 1):
            text = '{"stream": "other", "payload": {"a": ' + "[" * depth + "]" * depth + "}}"
            assert [frame for frame in chain.receive(text, order=order) if "close" in frame] == []
    assert caplog.records
    assert [record for record in caplog.records if record.exc_info] == []


def test_the_name_of_a_stream_is_not_repeated_in_any_length(caplog):
    with Chain([route_class(Demultiplexer)]) as chain:
        (frame,) = chain.receive(json.dumps({"stream": "x" * 10_000, "payload": {}}))
    assert len(frame["text"]) < 300
    assert json.loads(frame["text"])["stream"] is None
    assert len(caplog.text) < 500


def test_an_error_of_ones_own_decoder_is_one_line(caplog):
    class Quoting(Demultiplexer):
        @classmethod
        def decode_json(cls, text):
            raise ValueError(f"not this: {text}")

    with Chain([route_class(Quoting)]) as chain:
        (frame,) = payloads(chain.receive("a\nb\x1b[31mé" + "x" * 1000))
    assert frame["error"].startswith(r"this is no JSON (not this: a\nb\x1b[31m\xe9xxx")
    assert len(frame["error"]) < 300
    assert caplog.records[0].getMessage().endswith(frame["error"])


def test_a_payload_that_a_stream_cannot_decode_is_answered_on_the_stream(caplog):
    class Picky(JsonWebsocketConsumer):
        @classmethod
        def decode_json(cls, text):
            raise ValueError("no version")

    class Demux(WebsocketDemultiplexer):
        consumers = {"picky": Picky}

    with Chain([route_class(Demux)]) as chain:
        answers = payloads(chain.receive('{"stream": "picky", "payload": {"a": 1}}'))
    assert answers == [{"stream": "picky", "error": "the payload cannot be decoded (no version)"}]
    assert [record.levelno for record in caplog.records] == [logging.WARNING]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.sampled_from(["echo", "other", "\ud800"]),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.sampled_from(["stream", "payload"]), inner),
)


@given(JSON.map(json.dumps) | st.text())
@example('{"stream": "echo", "stream": "other", "payload": 1, "payload": {}}')
@example('{"stream": "__class__", "payload": {"__class__": {}}}')
def test_any_frame_gets_an_answer_and_never_an_exception(text):
    class Demux(WebsocketDemultiplexer):
        consumers = {"echo": EchoConsumer, "other": EchoConsumer}

    layer = MemoryLayer()
    inbox = layer.inbox(["websocket.send.T1!"], lambda: None)
    Demux(Message({"path": "/", "text": text, "reply_channel": CLIENT}, "websocket.receive", layer))
    (item,) = inbox.drain()
    assert len({"payload", "error"} & json.loads(decode_message(item.body)["text"]).keys()) == 1
    layer.close()


def test_a_demultiplexer_without_streams_has_none():
    with Chain([route_class(WebsocketDemultiplexer)]) as chain:
        (frame,) = payloads(chain.receive('{"stream": "a", "payload": {}}'))
    assert frame["error"] == "there is no stream 'a'; this socket has none"


def test_a_wrong_frame_may_be_an_error_again(caplog):
    class Strict(Demultiplexer):
        def wrong_frame(self, stream, reason):
            raise ValueError(reason)

    with Chain([route_class(Strict)]) as chain:
        assert chain.receive("[]") == []
    assert "ValueError: a frame is an object, not an array" in caplog.text


@pytest.mark.parametrize("text", ["[]", "nonsense"])
def test_a_wrong_frame_may_be_answered_by_a_coroutine(text):
    class Patient(Demultiplexer):
        async def wrong_frame(self, stream, reason):
            self.message.reply_channel.send({"text": "no"})

    with Chain([route_class(Patient)]) as chain:
        assert chain.receive(text) == [{"text": "no"}]
        assert len(chain.receive('{"stream": "echo", "payload": {}}', order=2)) == 1


def test_hooks_of_a_demultiplexer_may_be_coroutines_over_those_of_the_base():
    class Late(AsyncDemultiplexer):
        async def connect(self, message, **kwargs):
            await super().connect(message, **kwargs)

        async def receive(self, content, **kwargs):
            await super().receive(content, **kwargs)

        async def disconnect(self, message, **kwargs):
            await super().disconnect(message, **kwargs)

    with Chain([route_class(Late)]) as chain:
        assert len(chain.connect()) == 3
        assert len(chain.receive('{"stream": "echo", "payload": {}}')) == 1
        assert "error" in payloads(chain.receive("[]", order=2))[0]
        chain.run("websocket.disconnect", {"path": "/", "code": 1000}, order=3)
    assert seen == [("disconnect", "echo")]


# --- streams that fail -----------------------------------------------------------------------------------------------


def fail(self, *args, **kwargs):
    raise ValueError("boom")


async def afail(self, *args, **kwargs):
    raise ValueError("boom")


@pytest.mark.parametrize("hook", [fail, afail])
def test_a_stream_that_fails_keeps_nothing_from_the_others(hook, caplog):
    class Failing(JsonWebsocketConsumer):
        receive = disconnect = chat_message = hook

    class FailingToo(Failing):
        pass

    class Demux(WebsocketDemultiplexer):
        consumers = {"fails": Failing, "fails too": FailingToo, "echo": EchoConsumer}

    with Chain([route_class(Demux)]) as chain:
        assert chain.receive('{"stream": "fails", "payload": {}}') == []
        assert len(chain.receive('{"stream": "echo", "payload": {}}', order=2)) == 1
        chain.run("websocket.event", {"path": "/", "event": {"type": "chat.message", "n": 1}}, order=3)
        assert payloads(chain.frames())[-1] == {"stream": "echo", "payload": {"event": 1}}
        chain.run("websocket.disconnect", {"path": "/", "code": 1000}, order=4)
    assert seen == [("disconnect", "echo")]
    failed = [record.getMessage() for record in caplog.records]
    assert [text.split(":")[0] for text in failed] == [
        "consumer failed",
        "the stream 'fails too' failed too",
        "consumer failed",
        "the stream 'fails too' failed too",
        "consumer failed",
    ]


def test_a_stream_that_fails_to_connect_refuses_the_socket(caplog):
    class Failing(JsonWebsocketConsumer):
        def connect(self, message, **kwargs):
            raise DenyConnection

    class Demux(WebsocketDemultiplexer):
        consumers = {"denies": Failing, "f": function}

    with Chain([route_class(Demux)]) as chain:
        assert chain.connect() == [{"reject": {"status": 403}}]
    assert seen == []


# --- events ----------------------------------------------------------------------------------------------------------


def test_a_handler_of_the_demultiplexer_comes_before_those_of_its_streams():
    class Demux(AsyncDemultiplexer):
        def chat_message(self, event, **kwargs):
            seen.append(("own", event, kwargs))

    with Chain([route_class(Demux)]) as chain:
        chain.run("websocket.event", {"path": "/", "event": {"type": "chat.message"}}, order=1)
        assert chain.frames() == []
    assert seen == [("own", {"type": "chat.message"}, {})]


def test_a_stream_that_takes_all_events_as_they_come_gets_them():
    class Raw(JsonWebsocketConsumer):
        def raw_event(self, message, **kwargs):
            seen.append(message["event"]["type"])

    class Demux(WebsocketDemultiplexer):
        consumers = {"raw": Raw}

    with Chain([route_class(Demux)]) as chain:
        chain.run("websocket.event", {"path": "/", "event": {"type": "any.thing"}}, order=1)
    assert seen == ["any.thing"]


@pytest.mark.parametrize("kind", ["chat.unknown", "chat._private", "multiplexer.class", "wrong.frame", "_chat.message"])
def test_an_event_that_no_stream_handles_is_one_line_in_the_log(kind, caplog):
    with Chain([route_class(Demultiplexer)]) as chain:
        chain.run("websocket.event", {"path": "/", "event": {"type": kind}}, order=1)
        assert chain.frames() == []
    assert [record.getMessage().split(":")[0] for record in caplog.records] == [
        f"Demultiplexer ignores the event {kind!r} on path '/'"
    ]


def test_a_demultiplexer_says_which_events_it_takes():
    class Outer(WebsocketDemultiplexer):
        consumers = {"inner": Demultiplexer}

    def event(kind):
        return Message({"path": "/", "event": {"type": kind}}, "websocket.event", None)

    assert Outer.handles_event(event("chat.message")) is True
    assert Outer.handles_event(event("chat.unknown")) is False
    assert Outer.runs_as_coroutine(event("chat.message")) is False


# --- sessions and users ----------------------------------------------------------------------------------------------


class Counting(JsonWebsocketConsumer):
    channel_session = True

    def connect(self, message, multiplexer, **kwargs):
        message.channel_session["n"] = 0

    def receive(self, content, multiplexer, **kwargs):
        self.message.channel_session["n"] += 1
        multiplexer.send([self.message.channel_session["n"], str(getattr(self.message, "user", None))])


class AsyncCounting(Counting):
    async def connect(self, message, multiplexer, **kwargs):
        Counting.connect(self, message, multiplexer)

    async def receive(self, content, multiplexer, **kwargs):
        Counting.receive(self, content, multiplexer)


@pytest.mark.parametrize("stream", [Counting, AsyncCounting])
@pytest.mark.parametrize(("http_user", "user"), [(False, "None"), (True, "AnonymousUser")])
def test_streams_have_the_session_and_the_user_of_their_connection(stream, http_user, user, transactional_db):
    class Demux(WebsocketDemultiplexer):
        consumers = {"one": stream, "two": stream}

    Demux.http_user = http_user
    with Chain([route_class(Demux)]) as chain:
        chain.connect()
        answers = []
        for order, name in enumerate(["one", "two", "one"], 1):
            state = {key: value for changes in chain.states() for key, value in changes.items()}
            text = json.dumps({"stream": name, "payload": {}})
            seen_before = len(chain.frames())
            chain.run("websocket.receive", {"path": "/", "text": text}, order=order, state=state)
            answers += payloads(chain.frames()[seen_before:])
    assert answers == [{"stream": name, "payload": [n, user]} for n, name in enumerate(["one", "two", "one"], 1)]


# --- what cannot be sent ---------------------------------------------------------------------------------------------


def test_a_stream_cannot_send_by_itself_but_its_class_can_elsewhere(caplog):
    class Plain(JsonWebsocketConsumer):
        def receive(self, content, **kwargs):
            self.send(content)

    class Demux(WebsocketDemultiplexer):
        consumers = {"plain": Plain}

    with Chain([route_class(Demux, path="^/both"), route_class(Plain)]) as chain:
        assert chain.receive('{"stream": "plain", "payload": {}}', "/both") == []
        assert chain.receive('{"a": 1}', "/alone", order=2) == [{"text": '{"a": 1}'}]
    assert "SendNotAvailableOnDemultiplexer: " in caplog.text
    assert "Plain.send() knows no stream" in caplog.text


def test_a_demultiplexer_cannot_send_by_itself(caplog):
    class Sending(Demultiplexer):
        def connect(self, message, **kwargs):
            self.send({"a": 1})

    with Chain([route_class(Sending)]) as chain:
        chain.connect()
    assert "SendNotAvailableOnDemultiplexer: " in caplog.text


async def test_a_demultiplexer_cannot_send_to_groups():
    with pytest.raises(SendNotAvailableOnDemultiplexer, match=r"use WebsocketMultiplexer\.group_send\(name, stream"):
        Demultiplexer.group_send("room", {})
    with pytest.raises(SendNotAvailableOnDemultiplexer, match=r"use WebsocketMultiplexer\.agroup_send\(name, stream"):
        await Demultiplexer.agroup_send("room", {})


def test_a_stream_may_close_the_socket():
    class Closing(WebsocketConsumer):
        def receive(self, **kwargs):
            self.close(4000)

    class Demux(WebsocketDemultiplexer):
        consumers = {"closing": Closing}

    with Chain([route_class(Demux)]) as chain:
        assert chain.receive('{"stream": "closing", "payload": {}}') == [{"close": 4000}]
