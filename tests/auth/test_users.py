"""Who is at the other end: `message.user`, against a real database, with Django's own sessions and logins."""

import asyncio

import pytest
from asgiref.sync import async_to_sync
from django.contrib import auth
from django.contrib.auth import HASH_SESSION_KEY, SESSION_KEY
from django.contrib.auth.models import AnonymousUser, User
from django.contrib.sessions.backends.cache import SessionStore as CacheStore
from django.contrib.sessions.backends.db import SessionStore
from django.contrib.sessions.backends.signed_cookies import SessionStore as CookieStore
from django.contrib.sessions.models import Session
from django.contrib.sessions.serializers import JSONSerializer
from django.http import HttpRequest
from django.test import override_settings

import fairway.auth
from fairway import Message, route
from fairway.auth import (
    channel_and_http_session_user_from_http,
    channel_session_user,
    channel_session_user_from_http,
    clear_user_cache,
    http_session_user,
    transfer_user,
)
from fairway.auth.recent import Login
from fairway.auth.users import _login_in, auser_in, user_in
from fairway.consumers import BaseConsumer, WebsocketConsumer
from fairway.layers.codec import pack_value
from fairway.sessions.store import KEY, ChannelSessionStore, OwnState
from fairway.worker.state import ConnectionState
from tests.support.chain import CLIENT, Chain
from tests.support.connection import Connection

BACKEND = "django.contrib.auth.backends.ModelBackend"


@pytest.fixture(autouse=True)
def no_recent_users():
    clear_user_cache()
    yield
    clear_user_cache()


@pytest.fixture
def ada(transactional_db):
    return User.objects.create_user("ada", password="x")


def session_of(user, store=SessionStore):
    """A session that is stored, in which somebody has logged in as Django's views do it."""
    request = HttpRequest()
    request.session = store()
    auth.login(request, user, BACKEND)
    request.session.save()
    request.session.modified = False
    return request.session


def cookie(session):
    return [(b"cookie", b"sessionid=" + session.session_key.encode())]


def connect_with(session):
    headers = [list(header) for header in cookie(session)]
    return Message({"reply_channel": CLIENT, "path": "/", "headers": headers}, "websocket.connect", None)


def name_of(message):
    return message.user.username


async def aname_of(message):
    return message.user.username


def answer(message):
    """Tell the client who it is."""
    message.reply_channel.send({"text": message.user.username or "nobody"})


async def aanswer(message):
    answer(message)


# --- a login is copied ------------------------------------------------------------------------------------------------


def test_a_login_is_copied_whole():
    source = {"_auth_user_id": "1", "_auth_user_backend": "b", "_auth_user_hash": "h", "other": 1}
    target = {"room": "blue"}
    transfer_user(source, target)
    assert target == {"_auth_user_id": "1", "_auth_user_backend": "b", "_auth_user_hash": "h", "room": "blue"}


@pytest.mark.parametrize("missing", ["_auth_user_id", "_auth_user_backend", "_auth_user_hash"])
def test_or_not_at_all(missing):
    source = {"_auth_user_id": "1", "_auth_user_backend": "b", "_auth_user_hash": "h"}
    del source[missing]
    target = {}
    transfer_user(source, target)
    assert target == {}


# --- from the HTTP session --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("engine", "store"), [("db", SessionStore), ("cache", CacheStore), ("signed_cookies", CookieStore)]
)
@pytest.mark.parametrize("consumer", [http_session_user(name_of), async_to_sync(http_session_user(aname_of))])
def test_the_user_of_the_http_session(engine, store, consumer, ada, settings):
    settings.SESSION_ENGINE = f"django.contrib.sessions.backends.{engine}"
    message = connect_with(session_of(ada, store))
    assert consumer(message) == "ada"
    assert message.http_session[SESSION_KEY] == str(ada.pk)


@pytest.mark.parametrize("consumer", [http_session_user(name_of), async_to_sync(http_session_user(aname_of))])
def test_without_a_session_or_a_login_it_is_anonymous(consumer, db):
    message = Message({"path": "/"}, "websocket.connect", None)
    assert consumer(message) == ""
    assert isinstance(message.user, AnonymousUser)
    session = SessionStore()
    session["a"] = 1
    session.save()
    assert consumer(connect_with(session)) == ""


def test_in_other_messages_with_a_session_it_is_lazy(ada, django_assert_num_queries):
    session = session_of(ada)
    message = Message({"path": "/", "query_string": b"session_key=" + session.session_key.encode()}, "work", None)
    with django_assert_num_queries(0):
        http_session_user(lambda message: None)(message)
    assert type(message.user) is User
    assert message.user == ada


def test_a_session_with_an_old_password_is_no_login(ada):
    session = session_of(ada)
    ada.set_password("another")
    ada.save()
    message = connect_with(session)
    assert http_session_user(name_of)(message) == ""
    assert Session.objects.count() == 0
    assert http_session_user(name_of)(connect_with(session)) == ""


@pytest.mark.parametrize("consumer", [http_session_user(name_of), async_to_sync(http_session_user(aname_of))])
def test_a_new_secret_key_does_not_take_the_session_from_the_browser(ada, settings, consumer):
    session = session_of(ada)
    settings.SECRET_KEY_FALLBACKS = [settings.SECRET_KEY]
    settings.SECRET_KEY = "another"
    before = resigned(session)
    assert consumer(connect_with(session)) == "ada"
    assert [row.session_key for row in Session.objects.all()] == [session.session_key]
    assert dict(SessionStore(session.session_key).items()) == before


def resigned(session):
    """Store a session again, signed with today's key: its login is still signed with the old one."""
    Session.objects.filter(session_key=session.session_key).update(session_data=session.encode(dict(session.items())))
    return dict(session.items())


# --- from the HTTP session into the channel session -------------------------------------------------------------------


class Chat(BaseConsumer):
    method_mapping = {"websocket.connect": "open", "websocket.receive": "act"}
    channel_session_user = True

    def get_handler(self, message, **kwargs):
        return channel_session_user_from_http(super().get_handler(message, **kwargs))

    def open(self, message, **kwargs):
        answer(message)

    async def act(self, message, **kwargs):
        answer(message)


ROUTES = {
    "functions": [
        route("websocket.connect", channel_session_user_from_http(answer)),
        route("websocket.receive", channel_session_user(answer)),
    ],
    "coroutines": [
        route("websocket.connect", channel_session_user_from_http(aanswer)),
        route("websocket.receive", channel_session_user(aanswer)),
    ],
    "both sessions": [
        route("websocket.connect", channel_and_http_session_user_from_http(answer)),
        route("websocket.receive", channel_and_http_session_user_from_http(channel_session_user(answer))),
    ],
    "both sessions, coroutines": [
        route("websocket.connect", channel_and_http_session_user_from_http(aanswer)),
        route("websocket.receive", channel_and_http_session_user_from_http(channel_session_user(aanswer))),
    ],
    "a class": [Chat.as_route()],
}


@pytest.mark.parametrize("routing", ROUTES.values(), ids=ROUTES)
def test_who_connects_with_a_login_is_known_in_later_messages(routing, ada):
    session = session_of(ada)
    with Chain(routing) as chain:
        connection = Connection(chain, headers=cookie(session))
        assert connection.connect() == [{"text": "ada"}]
        assert connection.session[HASH_SESSION_KEY] == session[HASH_SESSION_KEY]
        assert [connection.receive(), connection.receive()] == [[{"text": "ada"}]] * 2


@pytest.mark.parametrize("routing", ROUTES.values(), ids=ROUTES)
def test_who_connects_without_one_is_nobody(routing, transactional_db):
    with Chain(routing) as chain:
        connection = Connection(chain)
        assert [connection.connect(), connection.receive()] == [[{"text": "nobody"}]] * 2
        assert connection.session is None


@pytest.mark.parametrize("routing", ROUTES.values(), ids=ROUTES)
def test_a_changed_password_ends_the_login_of_the_connection_and_keeps_its_key(routing, ada):
    with Chain(routing) as chain:
        connection = Connection(chain, headers=cookie(session_of(ada)))
        connection.connect()
        User.objects.update(password="another")
        clear_user_cache()
        assert connection.receive() == [{"text": "nobody"}]
        assert connection.session is None


@pytest.mark.parametrize("routing", ROUTES.values(), ids=ROUTES)
def test_a_new_secret_key_renews_the_login_of_the_connection_and_keeps_its_session(routing, ada, settings):
    session = session_of(ada)
    with Chain(routing) as chain:
        connection = Connection(chain, headers=cookie(session))
        connection.connect()
        before = connection.session
        # Worker threads see a setting that the test changes; what is stored in the database is signed anew.
        with override_settings(SECRET_KEY="another", SECRET_KEY_FALLBACKS=[settings.SECRET_KEY]):
            resigned(session)
            clear_user_cache()
            assert connection.receive() == [{"text": "ada"}]
            renewed = User.objects.get().get_session_auth_hash()
        assert connection.session == {**before, HASH_SESSION_KEY: renewed}


def test_the_http_session_is_there_in_later_messages(ada):
    seen = []

    @channel_and_http_session_user_from_http
    def consumer(message):
        seen.append(message.http_session[SESSION_KEY])
        message.reply_channel.send({"text": "seen"})

    with Chain([route(["websocket.connect", "websocket.receive"], consumer)]) as chain:
        connection = Connection(chain, headers=cookie(session_of(ada)))
        connection.connect()
        connection.receive()
    assert seen == [str(ada.pk)] * 2


# --- from the channel session -----------------------------------------------------------------------------------------


def message_with(session):
    message = Message({"reply_channel": CLIENT}, "websocket.receive", None)
    message.channel_session = session
    return message


def test_in_a_function_the_user_is_asked_for_when_it_is_used(ada, django_assert_num_queries):
    message = message_with(session_of(ada))
    with django_assert_num_queries(0):
        channel_session_user(lambda message: None)(message)
    with django_assert_num_queries(1):
        assert message.user == ada
        assert message.user is message.user


def test_in_a_coroutine_it_is_there(ada):
    message = message_with(session_of(ada))
    assert async_to_sync(channel_session_user(aname_of))(message) == "ada"
    assert type(message.user) is User


@pytest.mark.parametrize("ask", [user_in, async_to_sync(auser_in)])
def test_without_a_session_there_is_nobody(ask):
    assert ask(None) == AnonymousUser()


@pytest.mark.parametrize("ask", [user_in, async_to_sync(auser_in)])
def test_a_backend_that_is_not_in_the_settings_knows_nobody(ask, ada, settings):
    session = session_of(ada)
    settings.AUTHENTICATION_BACKENDS = ["django.contrib.auth.backends.RemoteUserBackend"]
    assert ask(session) == AnonymousUser()


@pytest.mark.parametrize("ask", [user_in, async_to_sync(auser_in)])
def test_a_deleted_user_is_nobody(ask, ada):
    session = session_of(ada)
    assert ask(session) == ada
    ada.delete()
    assert ask(session) == AnonymousUser()


def rights(message):
    message.reply_channel.send({"text": "admin" if message.user.is_staff else "reader"})


async def arights(message):
    rights(message)


class Rights(WebsocketConsumer):
    http_user = True

    def connect(self, message, **kwargs):
        rights(message)


class CoroutineRights(WebsocketConsumer):
    http_user = True

    async def connect(self, message, **kwargs):
        rights(message)


@pytest.mark.parametrize(
    "routing",
    [
        [route("websocket.connect", channel_session_user_from_http(rights))],
        [route("websocket.connect", channel_session_user_from_http(arights))],
        [route("websocket.connect", http_session_user(rights))],
        [Rights.as_route()],
        [CoroutineRights.as_route()],
    ],
    ids=["functions", "coroutines", "http", "a class", "a class of coroutines"],
)
def test_who_connects_is_as_the_database_has_them_and_no_recent_one(routing, ada):
    session = session_of(ada)
    assert not user_in(session).is_staff
    User.objects.update(is_staff=True)  # as another process would save it
    assert not user_in(session).is_staff
    with Chain(routing) as chain:
        assert Connection(chain, headers=cookie(session)).connect() == [{"text": "admin"}]


@pytest.mark.parametrize("ask", [name_of, aname_of])
def test_a_channel_session_with_another_login_has_its_own_user_at_the_connect(ada, ask):
    message = connect_with(session_of(ada))
    message.channel_session = session_of(User.objects.create_user("grace"))
    asked = http_session_user(channel_session_user(ask))
    assert (async_to_sync(asked) if ask is aname_of else asked)(message) == "grace"


# --- a busy socket ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ask", [user_in, async_to_sync(auser_in)])
def test_a_busy_socket_asks_the_database_once(ask, ada, django_assert_num_queries):
    session = session_of(ada)
    with django_assert_num_queries(1):
        users = [ask(session) for _ in range(5)]
    assert users == [ada] * 5
    assert len({id(user) for user in users}) == 5


@pytest.mark.parametrize("ask", [user_in, async_to_sync(auser_in)])
def test_with_age_0_every_message_asks(ask, ada, settings, django_assert_num_queries):
    session = session_of(ada)
    settings.CHANNEL_USER_MAX_AGE = 0
    with django_assert_num_queries(3):
        assert [ask(session) for _ in range(3)] == [ada] * 3


def test_a_change_in_this_process_is_seen_at_once(ada):
    session = session_of(ada)
    assert not user_in(session).is_staff
    ada.is_staff = True
    ada.save()
    assert user_in(session).is_staff
    ada.set_password("another")
    ada.save()
    assert user_in(session) == AnonymousUser()


def test_a_login_that_does_not_hold_is_not_kept(ada):
    session = session_of(ada)
    user_in(session)
    forged = SessionStore()
    forged.update({**dict(session.items()), HASH_SESSION_KEY: "forged"})
    assert user_in(forged) == AnonymousUser()


async def test_two_messages_of_one_user_share_nothing(ada):
    session = await asyncio.to_thread(session_of, ada)
    first, second = await auser_in(session), await auser_in(session)
    first.username = "changed"
    assert second.username == "ada"


# --- the names --------------------------------------------------------------------------------------------------------


def test_the_public_names_are_there():
    assert set(fairway.auth.__all__) <= set(dir(fairway.auth))
    assert all(callable(getattr(fairway.auth, name)) for name in fairway.auth.__all__)
    with pytest.raises(AttributeError, match="has no attribute 'login'"):
        fairway.auth.login  # noqa: B018


def login_through(settings, size=0, **more):
    """Return who is logged in to a session of the connection's state, before and after it was looked at."""
    data = {
        "_auth_user_id": "7",
        "_auth_user_backend": settings.AUTHENTICATION_BACKENDS[0],
        "_auth_user_hash": "h",
        **more,
    }
    state = ConnectionState(CLIENT, {KEY: pack_value(JSONSerializer().dumps(data | {"pad": "x" * size}), KEY)})
    message = Message({"reply_channel": CLIENT}, "websocket.receive", None)
    message._state = state
    session = ChannelSessionStore(OwnState(message))
    before = _login_in(session)
    assert session.accessed is (size > 2048)
    assert session["_auth_user_id"] == data["_auth_user_id"]
    assert _login_in(session) == before
    return before


@pytest.mark.parametrize("size", [0, 5000])
def test_who_is_logged_in_is_known_before_the_session_is_read(settings, size):
    assert login_through(settings, size) == Login(settings.AUTHENTICATION_BACKENDS[0], "7", "h")


def test_nobody_is_logged_in_by_a_backend_that_is_gone(settings):
    assert login_through(settings, _auth_user_backend="gone.Backend") is None


def test_nobody_is_logged_in_to_what_is_no_session(settings):
    message = Message({"reply_channel": CLIENT}, "websocket.receive", None)
    message._state = ConnectionState(CLIENT, {KEY: pack_value(b"no session", KEY)})
    assert _login_in(ChannelSessionStore(OwnState(message))) is None
