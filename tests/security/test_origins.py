"""Origin checks as decorators: what a page's origin must be, and what they may stand on."""

import pytest

from fairway import Message
from fairway.consumers import BaseConsumer, WebsocketConsumer
from fairway.consumers.calls import is_coroutine_consumer
from fairway.errors import DenyConnection
from fairway.security import AllowedHostsOnlyOriginValidator, BaseOriginValidator, allowed_hosts_only
from tests.support.chain import Chain


def connecting(*headers, **content):
    return Message({"path": "/", "headers": list(headers), **content}, "websocket.connect", None)


def from_origin(origin):
    return connecting([b"host", b"example.com"], [b"origin", origin])


@allowed_hosts_only
def consumer(message, **kwargs):
    return "let in", kwargs


ALLOWED = ["example.com", ".example.org", "[::1]", "[2001:db8::1]", "127.0.0.1"]


@pytest.mark.parametrize(
    "origin",
    [
        b"http://example.com",
        b"https://example.com:8443",
        b"HTTPS://EXAMPLE.COM",
        b"https://example.com.",
        b"https://example.org",
        b"https://a.b.example.org",
        b"http://[::1]:8000",
        b"http://[2001:DB8::1]",
        b"http://127.0.0.1:80",
        b"chrome-extension://example.com",
    ],
)
def test_origins_of_allowed_hosts(settings, origin):
    settings.ALLOWED_HOSTS = ALLOWED
    assert consumer(from_origin(origin), room="blue") == ("let in", {"room": "blue"})


@pytest.mark.parametrize(
    "origin",
    [
        b"http://evil.com",
        b"http://example.com.evil.com",
        b"http://evilexample.org",
        b"http://sub.example.com",
        b"http://example.com@evil.com",
        b"http://evil.com@example.com",
        b"http://user:password@example.com",
        b"http://evil.com#@example.com",
        b"http://evil.com\\@example.com",
        b"http://evil.com?.example.org",
        b"http://example.com/path",
        b"http://example.com:port",
        b"http://[::1",
        b"http://::1",
        b"http://[::2]",
        b"//example.com",
        b"example.com",
        b"http://example.com http://evil.com",
        b"http://",
        b"http://.",
        b"file://",
        b"null",
        b"",
        "http://exämple.org".encode(),
        b"http://\xff.example.org",
        b"http://example.com\n",
    ],
)
def test_other_origins_are_denied(settings, origin):
    settings.ALLOWED_HOSTS = ALLOWED
    with pytest.raises(DenyConnection):
        consumer(from_origin(origin))


@pytest.mark.parametrize("origin", [b"null", b"file://", b"", b"http://a@b"])
def test_even_when_all_hosts_are_allowed_an_origin_has_one(settings, origin):
    settings.ALLOWED_HOSTS = ["*"]
    with pytest.raises(DenyConnection):
        consumer(from_origin(origin))
    assert consumer(from_origin(b"http://anything.at.all"))[0] == "let in"


@pytest.mark.parametrize(
    ("debug", "origin", "is_allowed"),
    [
        (True, b"http://localhost:8000", True),
        (True, b"http://app.localhost:8000", True),
        (True, b"http://127.0.0.1:8000", True),
        (True, b"http://[::1]:8000", True),
        (True, b"http://example.com", False),
        (False, b"http://localhost:8000", False),
    ],
)
def test_without_allowed_hosts_it_is_this_machine_while_debugging(settings, debug, origin, is_allowed):
    settings.ALLOWED_HOSTS = []
    settings.DEBUG = debug
    validator = AllowedHostsOnlyOriginValidator(lambda message: None)
    assert validator.validate_origin(None, origin.decode()) is is_allowed


@pytest.mark.parametrize(
    "message",
    [
        Message({"path": "/"}, "websocket.connect", None),
        connecting(),
        connecting([b"host", b"example.com"]),
        connecting([], [b"origin"]),
        connecting(headers={}),
        Message({"path": "/", "text": "hi"}, "websocket.receive", None),
    ],
)
def test_without_an_origin_nobody_is_let_in(settings, message):
    with pytest.raises(DenyConnection, match="without an Origin header"):
        consumer(message)


@pytest.mark.parametrize(
    "headers",
    [
        [(b"origin", b"http://example.com")],
        [[], [b"x", b"y"], [b"origin", b"http://example.com"]],
        {b"origin": b"http://example.com"},
        {"Origin": "http://example.com"},
    ],
)
def test_forms_that_headers_may_have(settings, headers):
    settings.ALLOWED_HOSTS = ["example.com"]
    assert consumer(connecting(headers=headers))[0] == "let in"


def test_headers_by_name():
    message = connecting([], [b"one"], [b"two", b"2"], [b"two", b"3"])
    assert consumer.get_header(message, b"one") == []
    assert consumer.get_header(message, b"two") == [b"2"]
    with pytest.raises(KeyError, match="three"):
        consumer.get_header(message, b"three")


def test_the_base_class_wants_a_rule():
    with pytest.raises(NotImplementedError, match="BaseOriginValidator needs a method validate_origin"):
        BaseOriginValidator(lambda message: None)(from_origin(b"http://example.com"))


class OnlySecure(BaseOriginValidator):
    def validate_origin(self, message, origin):
        return origin.startswith("https:")


def test_a_rule_of_ones_own_and_what_is_said_of_a_refusal(caplog):
    seen = []
    validator = OnlySecure(seen.append)
    validator(from_origin(b"https://example.com"))
    assert len(seen) == 1
    with pytest.raises(DenyConnection, match=r"origin 'http://example\.com' is refused"):
        validator(from_origin(b"http://example.com"))
    assert len(seen) == 1
    assert "origin 'http://example.com' is refused on path '/'" in caplog.text


def test_a_decorated_function_keeps_its_name():
    assert consumer.__name__ == "consumer"


async def test_coroutines():
    @OnlySecure
    async def aconsumer(message):
        return "let in"

    message = from_origin(b"https://example.com")
    assert is_coroutine_consumer(aconsumer, message)
    assert not is_coroutine_consumer(consumer, message)
    assert await aconsumer(message) == "let in"
    with pytest.raises(DenyConnection):
        await aconsumer(from_origin(b"http://example.com"))


class Method(WebsocketConsumer):
    groups = ["all"]

    @OnlySecure
    def connect(self, message, **kwargs):
        message.reply_channel.send({"text": f"hello {kwargs}"})


class AsyncMethod(Method):
    @OnlySecure
    async def connect(self, message, **kwargs):
        message.reply_channel.send({"text": f"hello {kwargs}"})


@OnlySecure
class Whole(WebsocketConsumer):
    groups = ["all"]

    def connect(self, message, **kwargs):
        message.reply_channel.send({"text": f"hello {kwargs}"})

    def receive(self, text=None, **kwargs):
        self.send(text=text)


@OnlySecure
class AsyncWhole(Whole):
    async def connect(self, message, **kwargs):
        message.reply_channel.send({"text": f"hello {kwargs}"})


class Derived(Whole):
    pass


@pytest.mark.parametrize("cls", [Method, AsyncMethod, Whole, AsyncWhole, Derived])
def test_methods_and_classes(cls):
    with Chain([cls.as_route(path="^/(?P<room>[a-z]+)")]) as chain:
        secure, plain = [[b"origin", b"https://x"]], [[b"origin", b"http://x"]]
        chain.run("websocket.connect", {"path": "/blue", "headers": plain})
        assert chain.frames() == [{"reject": {"status": 403}}]
        if cls not in (Method, AsyncMethod):
            assert chain.layer.group_channels("all") == []
        chain.run("websocket.connect", {"path": "/blue", "headers": secure})
        assert chain.frames()[1:] == [{"text": "hello {'room': 'blue'}"}]
        if cls not in (Method, AsyncMethod):
            assert chain.receive("later", path="/blue") == [{"text": "later"}]


def test_a_decorated_class_is_itself():
    assert isinstance(Whole, type)
    assert issubclass(Whole, WebsocketConsumer)
    assert WebsocketConsumer.guards == ()


def test_seen_from_the_class_a_method_is_its_validator():
    assert isinstance(Method.connect, OnlySecure)


def test_a_class_that_is_no_consumer():
    with pytest.raises(TypeError, match=r"OnlySecure on a class guards class-based consumers, and .*Plain is no"):

        @OnlySecure
        class Plain:
            pass


def test_a_call_without_a_message():
    with pytest.raises(TypeError, match=r"OnlySecure stands on a consumer.*called without a message: with str"):
        OnlySecure(print)("hello")


def test_other_channels_of_a_class_are_not_asked_for_an_origin():
    seen = []

    @OnlySecure
    class Job(BaseConsumer):
        method_mapping = {"work": "work"}

        def work(self, message):
            seen.append(message["n"])

    Job(Message({"n": 1}, "work", None))
    assert seen == [1]
