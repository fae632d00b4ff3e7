"""WebSocket consumers as classes: their hooks, groups, frames and wrappers, `async def` or not."""

import logging

import pytest
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY, get_user_model
from django.contrib.sessions.backends.cache import SessionStore

from fairway import Message, channel_layers, route_class
from fairway.broker.effects import Add, Discard
from fairway.consumers import JsonWebsocketConsumer, WebsocketConsumer
from fairway.errors import SendNotAvailableOnDemultiplexer
from tests.support.chain import CLIENT, Chain


@pytest.fixture
def run(settings):
    """Make chains on the default layer, which `group_send` uses."""
    settings.CHANNEL_LAYERS = {"default": {"BACKEND": "fairway.layers.MemoryLayer", "ROUTING": []}}
    return lambda *consumers: Chain([route_class(each) for each in consumers], layer=channel_layers["default"])


def memberships(chain):
    """What the server was told about groups, in order."""
    return [(type(item).__name__, item.group) for item in chain.look() if isinstance(item, Add | Discard)]


def disconnect(chain, code=1000, order=9, **envelope):
    chain.run("websocket.disconnect", {"path": "/", "code": code}, order=order, **envelope)


class Recorder:
    """Hooks that tell what they were called with."""

    seen = []

    def connection_groups(self, **kwargs):
        return ["room", "hall"]

    def connect(self, message, **kwargs):
        self.seen.append(("connect", message.channel_name, kwargs))
        message.reply_channel.send({"text": "welcome"})

    def receive(self, text=None, bytes=None, **kwargs):  # noqa: A002
        self.seen.append(("receive", text, bytes, kwargs))
        self.send(text=text, bytes=bytes)

    def chat_message(self, event, **kwargs):
        self.seen.append(("event", event, kwargs))

    def disconnect(self, message, **kwargs):
        self.seen.append(("disconnect", message["code"], kwargs))


class Sync(Recorder, WebsocketConsumer):
    pass


class Async(WebsocketConsumer):
    seen = Recorder.seen

    async def connection_groups(self, **kwargs):
        return ["room", "hall"]

    async def connect(self, message, **kwargs):
        Recorder.connect(self, message, **kwargs)

    async def receive(self, text=None, bytes=None, **kwargs):  # noqa: A002
        Recorder.receive(self, text, bytes, **kwargs)

    async def chat_message(self, event, **kwargs):
        Recorder.chat_message(self, event, **kwargs)

    async def disconnect(self, message, **kwargs):
        Recorder.disconnect(self, message, **kwargs)


class Mixed(Recorder, WebsocketConsumer):
    """Synchronous but for its groups."""

    async def connection_groups(self, **kwargs):
        return ["room", "hall"]

    async def disconnect(self, message, **kwargs):
        await Async.disconnect(self, message, **kwargs)


@pytest.mark.parametrize("consumer", [Sync, Async, Mixed])
def test_each_hook_gets_its_part_of_the_message(run, consumer):
    consumer.seen.clear()
    with run() as chain:
        chain.worker._application.router.add_route(route_class(consumer, path="^/(?P<slug>[a-z]+)/"))
        where = {"path": "/blue/"}
        kwargs = {"slug": "blue"}
        assert chain.connect("/blue/") == [{"text": "welcome"}]
        assert memberships(chain) == [("Add", "room"), ("Add", "hall")]
        assert chain.receive("", "/blue/", order=1) == [{"text": ""}]
        chain.run("websocket.receive", {**where, "bytes": b"x", "text": None}, order=2)
        chain.run("websocket.event", {**where, "event": {"type": "chat.message", "n": 1}}, order=3)
        chain.run("websocket.disconnect", {**where, "code": 1001}, order=4)
        assert memberships(chain)[2:] == [("Discard", "room"), ("Discard", "hall")]
    assert consumer.seen == [
        ("connect", "websocket.connect", kwargs),
        ("receive", "", None, kwargs),
        ("receive", None, b"x", kwargs),
        ("event", {"type": "chat.message", "n": 1}, kwargs),
        ("disconnect", 1001, kwargs),
    ]


def test_the_defaults_accept_and_do_nothing(run):
    class Plain(WebsocketConsumer):
        groups = ["everyone"]

    with run(Plain) as chain:
        assert chain.connect() == [{"accept": True}]
        assert memberships(chain) == [("Add", "everyone")]
        assert chain.receive("x") == []
        disconnect(chain)
        assert memberships(chain)[1:] == [("Discard", "everyone")]


def test_a_class_without_groups_joins_none(run):
    class Nowhere(WebsocketConsumer):
        def connection_groups(self, **kwargs):
            return None

    with run(Nowhere) as chain:
        chain.connect()
        assert memberships(chain) == []


def test_the_groups_are_those_of_the_layer_the_message_came_through():
    with Chain([route_class(Sync)]) as chain:  # no layer is configured at all
        chain.connect()
        assert memberships(chain) == [("Add", "room"), ("Add", "hall")]


@pytest.mark.parametrize("names", ["room", b"room"])
def test_a_text_is_no_list_of_groups(names):
    class Typo(WebsocketConsumer):
        groups = names

    with pytest.raises(TypeError, match=r"the groups of .*Typo are a list of names, not the text"):
        Typo(Message({"path": "/"}, "websocket.connect", None))


@pytest.mark.parametrize(
    ("consumer", "channel", "expected"),
    [
        (Sync, "websocket.connect", False),
        (Sync, "websocket.event", False),
        (Async, "websocket.connect", True),
        (Async, "websocket.receive", True),
        (Async, "websocket.event", True),
        (Async, "websocket.disconnect", True),
        (Mixed, "websocket.connect", True),
        (Mixed, "websocket.receive", False),
        (Mixed, "http.request", False),
    ],
)
def test_which_messages_make_a_coroutine(consumer, channel, expected):
    message = Message({"path": "/", "event": {"type": "chat.message"}}, channel, None)
    assert consumer.runs_as_coroutine(message) is expected


async def test_a_channel_of_ones_own():
    class Both(WebsocketConsumer):
        method_mapping = {**WebsocketConsumer.method_mapping, "chat.work": "work"}

        async def work(self, message, **kwargs):
            """Do nothing."""

    message = Message({}, "chat.work", None)
    assert Both.channel_names() == {*WebsocketConsumer.method_mapping, "chat.work"}
    assert Both.runs_as_coroutine(message) is True
    assert (await Both(message)).path == ""


def test_a_method_of_ones_own_for_a_channel():
    class Own(WebsocketConsumer):
        method_mapping = {"websocket.receive": "take"}

        async def take(self, message, **kwargs):
            self.send(message["text"])

    with Chain([route_class(Own)]) as chain:
        assert chain.receive("x") == [{"text": "x"}]


def test_a_raw_method_may_be_a_coroutine():
    class Raw(WebsocketConsumer):
        async def raw_receive(self, message, **kwargs):
            self.send(message["text"])

    with Chain([route_class(Raw)]) as chain:
        assert chain.receive("x") == [{"text": "x"}]


@pytest.mark.parametrize("content", [{}, {"text": None}])
def test_a_frame_without_text_and_bytes_is_an_error(content):
    with pytest.raises(KeyError, match="bytes"):
        Sync(Message({"path": "/", **content}, "websocket.receive", None))


def test_every_message_has_a_path():
    with pytest.raises(KeyError, match="path"):
        Sync(Message({"text": ""}, "websocket.receive", None))


# --- what is sent ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("act", "expected"),
    [
        (lambda each: each.send("a"), {"text": "a"}),
        (lambda each: each.send(text="", close=True), {"text": "", "close": True}),
        (lambda each: each.send(bytes=b"a", close=4000), {"bytes": b"a", "close": 4000}),
        (lambda each: each.send(text="a", bytes=b"b"), {"text": "a"}),
        (lambda each: each.close(), {"close": True}),
        (lambda each: each.close(4001), {"close": 4001}),
        (lambda each: each.close(4001, reason="bye"), {"close": 4001, "reason": "bye"}),
    ],
)
def test_what_a_connection_is_sent(run, act, expected):
    class Sender(WebsocketConsumer):
        def receive(self, **kwargs):
            act(self)

    with run(Sender) as chain:
        assert chain.receive("x") == [expected]


@pytest.mark.parametrize("close", [False, True])
def test_neither_text_nor_bytes_is_an_error(close):
    with pytest.raises(ValueError, match="needs text or bytes; to close the socket without a frame call close"):
        WebsocketConsumer.group_send("room", close=close)


def test_what_a_group_is_sent(run):
    class Sender(WebsocketConsumer):
        def receive(self, **kwargs):
            self.group_send("room", "a", close=4000)

    with run(Sender) as chain:
        chain.layer.group_add("room", CLIENT)
        chain.receive("x")
        assert chain.group_frames() == [("room", {"text": "a", "close": 4000})]
        WebsocketConsumer.group_send("room", bytes=b"x")
        JsonWebsocketConsumer.group_send("room", {"a": 1})
        assert chain.group_frames()[1:] == [("room", {"bytes": b"x"}), ("room", {"text": '{"a": 1}'})]


def test_what_a_group_is_sent_by_a_coroutine(run):
    class Sender(JsonWebsocketConsumer):
        async def receive(self, content, **kwargs):
            await self.agroup_send("room", content, close=True)

    with run(Sender) as chain:
        chain.layer.group_add("room", CLIENT)
        chain.receive("[1]")
        assert chain.group_frames() == [("room", {"text": "[1]", "close": True})]


async def test_what_a_group_is_sent_from_elsewhere(run):
    with run() as chain:
        chain.layer.group_add("room", CLIENT)
        await WebsocketConsumer.agroup_send("room", bytes=b"x")
        assert chain.group_frames() == [("room", {"bytes": b"x"})]


def test_behind_a_demultiplexer_there_is_no_send():
    class Stream(WebsocketConsumer):
        def receive(self, **kwargs):
            self.send("x")

    with pytest.raises(SendNotAvailableOnDemultiplexer, match=r"Stream\.send\(\) knows no stream"):
        Stream(Message({"path": "/", "text": "x"}, "websocket.receive", None), multiplexer=object())


# --- typed group messages --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["chat.unknown", "raw.connect", "_chat.message", "chat._private", "group.send"])
def test_an_event_nobody_may_handle_is_one_line_in_the_log(kind, caplog):
    with Chain([route_class(Sync)]) as chain:
        chain.run("websocket.event", {"path": "/", "event": {"type": kind}}, order=1)
        assert chain.frames() == []
    (record,) = caplog.records
    assert (record.name, record.levelno, record.exc_info) == ("fairway.consumers", logging.WARNING, None)
    assert record.getMessage().startswith(f"Sync ignores the event {kind!r} on path '/': ")


# --- wrappers --------------------------------------------------------------------------------------------------------


def note(self, message, **kwargs):
    """Keep what the wrappers have put on a message."""
    has = [name for name in ("channel_session", "http_session", "user") if hasattr(message, name)]
    session = getattr(message, "http_session", None)
    user = str(message.user) if "user" in has else None
    seen.append((message.channel_name, has, user, session and session.session_key))
    if message.channel_name == "websocket.connect":
        message.reply_channel.send({"accept": True})


async def anote(self, message, **kwargs):
    note(self, message, **kwargs)


seen = []

SESSION = ["channel_session"]
USER = ["channel_session", "user"]
ALL = ["channel_session", "http_session", "user"]

NOTES = {
    "channel_session": ((SESSION, None, None), (SESSION, None, None)),
    "strict_ordering": ((SESSION, None, None), (SESSION, None, None)),
    "channel_session_user": ((USER, "AnonymousUser", None), (USER, "AnonymousUser", None)),
    "http_user": ((ALL, "ada", "key"), (ALL, "ada", None)),
    "http_user_and_session": ((ALL, "ada", "key"), (ALL, "ada", "key")),
}


@pytest.fixture
def cookie(transactional_db, settings):
    """The cookie of somebody who is logged in."""
    settings.SESSION_ENGINE = "django.contrib.sessions.backends.cache"
    user = get_user_model().objects.create_user("ada")
    session = SessionStore()
    session[SESSION_KEY] = str(user.pk)
    session[BACKEND_SESSION_KEY] = "django.contrib.auth.backends.ModelBackend"
    session[HASH_SESSION_KEY] = user.get_session_auth_hash()
    session.save()
    return session.session_key


@pytest.mark.parametrize("hook", [note, anote])
@pytest.mark.parametrize("attribute", NOTES)
def test_sessions_and_users(run, cookie, attribute, hook):
    class Noting(WebsocketConsumer):
        connect = disconnect = hook

    setattr(Noting, attribute, True)
    seen.clear()
    headers = [[b"cookie", f"sessionid={cookie}".encode()]]
    with run(Noting) as chain:
        chain.run("websocket.connect", {"path": "/", "headers": headers})
        state = {key: value for changes in chain.states() for key, value in changes.items()}
        disconnect(chain, state=state)
    expected = [
        (channel, has, user, key and cookie)
        for channel, (has, user, key) in zip(
            ("websocket.connect", "websocket.disconnect"), NOTES[attribute], strict=True
        )
    ]
    assert seen == expected


def test_the_order_is_outermost(caplog):
    class Strict(WebsocketConsumer):
        strict_ordering = http_user = True

    with pytest.raises(ValueError, match="enforce_ordering needs a message of a connection, with 'order'"):
        Strict(Message({"path": "/", "text": "", "reply_channel": CLIENT}, "websocket.receive", None))


def test_slight_ordering_is_no_more():
    class Slight(WebsocketConsumer):
        slight_ordering = True

    with pytest.raises(ValueError, match=r"Slight\.slight_ordering is no more: remove it"):
        Slight(Message({"path": "/", "text": ""}, "websocket.receive", None))
