"""The session decorators, on a chain with a worker, and with Django's own session engines."""

import logging

import pytest
from asgiref.sync import async_to_sync
from django.contrib.sessions.backends.cache import SessionStore as CacheStore
from django.contrib.sessions.backends.db import SessionStore
from django.contrib.sessions.backends.signed_cookies import SessionStore as CookieStore
from django.contrib.sessions.models import Session
from django.core.exceptions import ImproperlyConfigured

from fairway import Message, route
from fairway.consumers import BaseConsumer
from fairway.errors import MessageTooLarge
from fairway.http.request import AsgiRequest
from fairway.sessions import channel_and_http_session, channel_session, enforce_ordering, http_session
from tests.support.chain import CLIENT, Chain
from tests.support.connection import Connection


@pytest.fixture
def message():
    return Message({"reply_channel": CLIENT, "path": "/"}, "websocket.receive", None)


def stored_session(store=SessionStore, **data):
    """A session that is stored, as a browser has it after a visit."""
    session = store()
    session.update(data)
    session.save()
    return session


def cookie(session):
    return [(b"cookie", b"theme=dark; sessionid=" + session.session_key.encode())]


def with_cookie(session, **content):
    headers = [list(header) for header in cookie(session)]
    return Message({"reply_channel": CLIENT, "path": "/", "headers": headers, **content}, "websocket.connect", None)


def receive(consumer, **filters):
    return Chain([route("websocket.receive", consumer, **filters)])


def as_coroutine(function):
    async def coroutine(message, **kwargs):
        return function(message, **kwargs)

    return coroutine


# --- channel_session --------------------------------------------------------------------------------------------------


@channel_session
def count(message):
    message.channel_session["n"] = message.channel_session.get("n", 0) + 1
    message.reply_channel.send({"text": str(message.channel_session["n"])})


@channel_session
async def acount(message):
    count.__wrapped__(message)


class Counter(BaseConsumer):
    method_mapping = {"websocket.receive": "act"}
    channel_session = True

    def act(self, message, **kwargs):
        count.__wrapped__(message)


class AsyncCounter(Counter):
    async def act(self, message, **kwargs):
        count.__wrapped__(message)


@pytest.mark.parametrize("consumer", [count, acount, channel_session(count), Counter, AsyncCounter])
def test_what_a_consumer_leaves_in_the_session_the_next_one_finds(consumer):
    with receive(consumer) as chain:
        connection = Connection(chain)
        assert [connection.receive() for _ in range(3)] == [[{"text": "1"}], [{"text": "2"}], [{"text": "3"}]]
        assert connection.session == {"n": 3}


def test_a_session_that_is_only_read_is_not_saved():
    @channel_session
    def consumer(message):
        assert message.channel_session.get("n") is None

    with receive(consumer) as chain:
        Connection(chain).receive()
        assert chain.states() == []


def test_it_is_saved_also_when_the_consumer_raised(caplog):
    @channel_session
    def consumer(message):
        message.channel_session["n"] = 1
        raise LookupError

    @channel_session
    async def aconsumer(message):
        consumer.__wrapped__(message)

    for each in (consumer, aconsumer):
        with receive(each) as chain:
            connection = Connection(chain)
            connection.receive()
            assert connection.session == {"n": 1}


def test_an_emptied_session_is_stored_no_longer():
    @channel_session
    def consumer(message):
        if message["text"] == "fill":
            message.channel_session["n"] = 1
        else:
            message.channel_session.flush()

    @channel_session
    async def aconsumer(message):
        if message["text"] == "fill":
            message.channel_session["n"] = 1
        else:
            message.channel_session.clear()

    for each in (consumer, aconsumer):
        with receive(each) as chain:
            connection = Connection(chain)
            connection.receive("fill")
            assert connection.session == {"n": 1}
            connection.receive("empty")
            assert connection.session is None


def test_an_oversized_session_is_an_error_that_names_it_and_nothing_is_half_saved(caplog):
    @channel_session
    def consumer(message):
        message.channel_session["text"] = message["text"]
        message.reply_channel.send({"text": "kept"})

    with receive(channel_session(consumer)) as chain:
        connection = Connection(chain)
        connection.receive("small")
        assert connection.receive("x" * 70_000) == [{"text": "kept"}]
        assert connection.session == {"text": "small"}
    (record,) = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert record.exc_info[0] is MessageTooLarge
    assert str(record.exc_info[1]).startswith("channel session (it shares the limit of the connection's state")


def test_a_session_that_is_there_is_not_opened_again(message):
    channel_session(lambda message: None)(message)
    first = message.channel_session
    assert channel_session(lambda message: message.channel_session)(message) is first


def test_what_the_consumer_returns_is_returned(message):
    assert channel_session(lambda message, room: room)(message, room="blue") == "blue"


@pytest.mark.parametrize("decorator", [channel_session, http_session, channel_and_http_session, enforce_ordering])
def test_without_a_message_there_is_no_session(decorator):
    with pytest.raises(ValueError, match=f"{decorator.__name__} called without Message instance"):
        decorator(lambda argument: None)("no message")


def test_a_message_of_no_connection_has_no_channel_session():
    with pytest.raises(ValueError, match="has no reply channel"):
        channel_session(lambda message: None)(Message({"path": "/"}, "work", None))


@pytest.mark.parametrize("name", ["db", "cache"])
async def test_in_a_django_engine_it_is_kept_as_before(name, settings, transactional_db):
    settings.CHANNEL_SESSION_ENGINE = f"django.contrib.sessions.backends.{name}"

    @channel_session
    async def change(message, to):
        if to is None:
            message.channel_session.clear()
        else:
            message.channel_session["n"] = to

    for to in (1, 2, None, 3):
        await change(Message({"reply_channel": CLIENT}, "websocket.receive", None), to=to)
        later = Message({"reply_channel": CLIENT}, "websocket.receive", None)
        assert await channel_session(as_coroutine(lambda message: message.channel_session.get("n")))(later) == to


# --- enforce_ordering -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "decorate",
    [enforce_ordering, enforce_ordering(), enforce_ordering(slight=False)],
    ids=["plain", "called", "slight"],
)
async def test_ordering_is_a_channel_session(decorate):
    @decorate
    def consumer(message):
        message.channel_session["n"] = 1
        return "result"

    @decorate
    async def aconsumer(message):
        return consumer.__wrapped__(message)

    message = Message({"reply_channel": CLIENT, "order": 3}, "websocket.receive", None)
    assert consumer(message) == "result"
    assert await aconsumer(message) == "result"
    assert message.state["fairway.session"] == b'{"n":1}'


async def test_ordering_needs_an_order(message):
    with pytest.raises(ValueError, match="enforce_ordering needs a message of a connection, with 'order'"):
        enforce_ordering(lambda message: None)(message)
    with pytest.raises(ValueError, match="with 'order'"):
        await enforce_ordering(as_coroutine(lambda message: None))(message)


def test_slight_ordering_is_gone():
    with pytest.raises(ValueError, match="slight ordering is gone"):
        enforce_ordering(slight=True)


# --- http_session -----------------------------------------------------------------------------------------------------


@http_session
def read(message):
    session = message.http_session
    return None if session is None else dict(session.items())


aread = http_session(as_coroutine(read.__wrapped__))


@pytest.fixture(params=["db", "cache", "signed_cookies"])
def browser(request, settings, transactional_db):
    """A session that a browser has, in one of Django's engines."""
    settings.SESSION_ENGINE = f"django.contrib.sessions.backends.{request.param}"
    return stored_session({"db": SessionStore, "cache": CacheStore, "signed_cookies": CookieStore}[request.param], n=1)


def test_the_session_is_that_of_the_cookie(browser):
    assert read(with_cookie(browser)) == {"n": 1}
    assert async_to_sync(aread)(with_cookie(browser)) == {"n": 1}


@pytest.mark.parametrize(
    "query", [b"session_key=KEY", "a=1&session_key=KEY", b"session%5Fkey=KEY", b"session_key=x&session_key=KEY"]
)
def test_or_that_of_a_get_parameter_which_wins(db, query):
    key = stored_session(n=2).session_key
    query = query.replace("KEY", key) if isinstance(query, str) else query.replace(b"KEY", key.encode())
    assert read(with_cookie(stored_session(n=1), query_string=query)) == {"n": 2}


@pytest.mark.parametrize(
    "headers",
    [
        [[b"cookie", b"a=b"], [b"cookie", b"sessionid=KEY"]],
        [[b"Cookie", b"sessionid=KEY; a=\xff"]],
        {"host": b"a", "cookie": b"sessionid=KEY"},
        [(b"x_cookie", b"sessionid=no"), (b"cookie", b'sessionid="KEY"')],
    ],
)
def test_cookies_are_read_as_django_does(db, headers):
    session = stored_session(n=1)

    def with_key(value):
        return value.replace(b"KEY", session.session_key.encode())

    if isinstance(headers, dict):
        headers = {name: with_key(value) for name, value in headers.items()}
    else:
        headers = [[name, with_key(value)] for name, value in headers]
    message = Message({"path": "/", "headers": headers}, "websocket.connect", None)
    assert read(message) == {"n": 1}


def test_the_cookie_has_the_name_of_the_setting(db, settings):
    settings.SESSION_COOKIE_NAME = "mine"
    session = stored_session(n=1)
    message = with_cookie(session, headers=[[b"cookie", b"mine=" + session.session_key.encode()]])
    assert read(message) == {"n": 1}


@pytest.mark.parametrize(
    "content",
    [
        {},
        {"headers": [], "query_string": b""},
        {"headers": [[b"host", b"a"]], "query_string": b"a=1"},
        {"headers": [[b"cookie", b"a=b"]], "query_string": b"a=%20"},
        {"headers": [[b"cookie", b"sessionid="]], "query_string": b"session_key="},
    ],
)
async def test_without_a_key_there_is_no_session_and_none_is_made(content):
    assert read(Message({"path": "/", **content}, "websocket.connect", None)) is None
    assert await aread(Message({"path": "/", **content}, "websocket.connect", None)) is None


def test_a_message_without_a_path_is_no_request():
    with pytest.raises(ValueError, match="http_session needs a request or a message of a WebSocket, with 'path'"):
        read(Message({"reply_channel": CLIENT}, "work", None))


def test_a_query_string_with_too_many_fields_cannot_be_read(message):
    message["query_string"] = b"session_key=1&" + b"a=1&" * 2000
    with pytest.raises(ValueError, match="the query string cannot be read"):
        read(message)


def test_a_consumer_can_make_a_request_of_the_message(message):
    assert http_session(lambda message: AsgiRequest(message).method)(message) == "FAKE"


def test_a_session_engine_that_is_none_is_named(settings, message):
    settings.SESSION_ENGINE = "nowhere"
    message["query_string"] = b"session_key=something"
    with pytest.raises(ImproperlyConfigured, match="SESSION_ENGINE = 'nowhere' names no session engine"):
        read(message)


@http_session
def write(message, value=2):
    message.http_session["n"] = value
    if value == "fail":
        raise LookupError


awrite = http_session(as_coroutine(write.__wrapped__))


@pytest.mark.parametrize("consumer", [write, async_to_sync(awrite), http_session(write)])
def test_it_is_saved_when_it_was_modified_and_not_when_the_consumer_raised(db, consumer):
    session = stored_session(n=1)
    consumer(with_cookie(session))
    assert SessionStore(session.session_key)["n"] == 2
    with pytest.raises(LookupError):
        consumer(with_cookie(session), value="fail")
    assert SessionStore(session.session_key)["n"] == 2


def test_a_key_with_no_stored_session_is_written_under_a_new_key(db):
    message = Message({"path": "/", "query_string": b"session_key=" + b"a" * 32}, "websocket.connect", None)

    @http_session
    def write(message):
        assert dict(message.http_session.items()) == {}
        message.http_session["n"] = 1

    write(message)
    (row,) = Session.objects.all()
    assert row.session_key != "a" * 32
    assert row.session_key == message.http_session.session_key


def test_a_flushed_session_leaves_no_row(db):
    session = stored_session(n=1)
    http_session(lambda message: message.http_session.flush())(with_cookie(session))
    assert Session.objects.count() == 0


def test_an_http_session_that_is_there_is_not_looked_for(db):
    message = Message({"path": "/"}, "websocket.receive", None)
    message.http_session = SessionStore()
    write(message)
    assert SessionStore(message.http_session.session_key)["n"] == 2
    async_to_sync(awrite)(message, value=3)
    assert SessionStore(message.http_session.session_key)["n"] == 3


# --- both -------------------------------------------------------------------------------------------------------------


@channel_and_http_session
def both(message):
    session = message.http_session
    message.reply_channel.send({"text": "none" if session is None else str(session["n"])})
    if session is not None:
        session["n"] += 1


@channel_and_http_session
async def aboth(message):
    both.__wrapped__(message)


def both_on(consumer):
    return Chain([route(["websocket.connect", "websocket.receive"], consumer)])


@pytest.mark.parametrize("consumer", [both, aboth, channel_and_http_session(both), channel_session(http_session(both))])
def test_later_messages_have_the_http_session_of_the_connect(consumer, transactional_db):
    session = stored_session(n=1)
    with both_on(consumer) as chain:
        connection = Connection(chain, headers=cookie(session))
        answers = [connection.connect(), connection.receive(), connection.receive()]
        assert answers == [[{"text": "1"}], [{"text": "2"}], [{"text": "3"}]]
        assert connection.session == {"sessionid": session.session_key}
        assert len(chain.states()) == 1
    assert SessionStore(session.session_key)["n"] == 4


@pytest.mark.parametrize("consumer", [both, aboth])
def test_without_one_at_the_connect_there_is_none_later(consumer):
    with both_on(consumer) as chain:
        connection = Connection(chain)
        assert [connection.connect(), connection.receive()] == [[{"text": "none"}], [{"text": "none"}]]
        assert connection.session is None
