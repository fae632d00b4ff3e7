"""Where channel sessions are kept: in the connection's state, or in Django's engines, against a real database."""

import weakref

import pytest
from django.contrib.sessions.backends.base import CreateError, UpdateError
from django.contrib.sessions.backends.db import SessionStore
from django.contrib.sessions.models import Session
from django.core.exceptions import ImproperlyConfigured

from fairway import Channel, Message, channel_layers, route
from fairway.errors import ConsumeLater
from fairway.layers.codec import pack_value, unpack_value
from fairway.sessions import channel_session, engines, session_for_reply_channel
from fairway.sessions.engines import aopen_session, configured_engine, engine_module, open_session, prepare_session
from fairway.sessions.store import KEY, ChannelSessionStore, session_key_for
from fairway.testing import apply_routes
from tests.support.chain import CLIENT, Chain
from tests.support.connection import Connection
from tests.support.waiting import wait_until

BACKENDS = "django.contrib.sessions.backends"
SESSION_KEY = session_key_for(CLIENT)


@pytest.fixture(params=["db", "cache", "cached_db", "file"])
def engine(request, settings, transactional_db, tmp_path):
    """A Django engine that keeps channel sessions."""
    settings.CHANNEL_SESSION_ENGINE = f"{BACKENDS}.{request.param}"
    settings.SESSION_FILE_PATH = str(tmp_path)
    name = f"sessions-{tmp_path}"
    settings.CACHES = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache", "LOCATION": name}}
    return configured_engine()


@pytest.fixture
def message():
    return Message({"reply_channel": CLIENT}, "websocket.receive", None)


def test_without_the_setting_they_are_in_the_connection_s_state(message):
    assert configured_engine() is None
    assert type(open_session(message)) is ChannelSessionStore


@pytest.mark.parametrize("path", ["nowhere.sessions", "tests.support.settings", "", 5])
def test_a_setting_that_names_no_engine_says_so(settings, path):
    settings.CHANNEL_SESSION_ENGINE = path
    with pytest.raises(ImproperlyConfigured, match=f"CHANNEL_SESSION_ENGINE = {path!r} names no session engine"):
        configured_engine()


def test_sessions_in_cookies_are_refused(settings):
    settings.CHANNEL_SESSION_ENGINE = f"{BACKENDS}.signed_cookies"
    with pytest.raises(ValueError, match=r"CHANNEL_SESSION_ENGINE = .*signed_cookies.* leave the setting out"):
        session_for_reply_channel(CLIENT)


def test_a_message_of_no_connection_has_no_session():
    with pytest.raises(ValueError, match="this one has no reply channel"):
        open_session(Message({}, "work", None))


# --- a Django engine --------------------------------------------------------------------------------------------------


def test_a_session_in_the_state_waits_until_somebody_looks(message):
    prepare_session(message)
    assert "channel_session" not in vars(message)
    assert type(message.channel_session) is ChannelSessionStore
    assert message.channel_session is message.channel_session


def test_a_message_whose_session_nobody_looks_at_is_gone_with_its_consumer():
    message = Message({"reply_channel": CLIENT}, "websocket.receive", None)
    prepare_session(message)
    gone = weakref.ref(message)
    del message
    assert gone() is None


def test_a_session_in_an_engine_does_not_wait(engine, message):
    prepare_session(message)
    assert vars(message)["channel_session"].session_key == session_key_for(CLIENT)


def test_a_message_of_no_connection_is_refused_before_anybody_looks():
    with pytest.raises(ValueError, match="channel_session needs a message of a connection"):
        prepare_session(Message({}, "work", None))


def test_a_session_is_created_at_once_and_found_again(engine, message):
    session = open_session(message)
    assert session.exists(SESSION_KEY)
    assert not session.modified
    session["room"] = "blue"
    session.save()
    assert open_session(message)["room"] == "blue"
    assert session_for_reply_channel(CLIENT)["room"] == "blue"


async def test_the_same_in_a_coroutine(engine, message):
    session = await aopen_session(message)
    assert await session.aexists(SESSION_KEY)
    session["room"] = "blue"
    await session.asave()
    assert (await aopen_session(message))["room"] == "blue"


def test_a_store_keeps_the_key_of_its_connection(engine, message):
    session = open_session(message)
    session["a"] = 1
    session.cycle_key()
    session.save()
    assert (session.session_key, session["a"]) == (SESSION_KEY, 1)
    session.flush()
    assert session.session_key == SESSION_KEY
    assert session.is_empty()
    assert not session.exists(SESSION_KEY)
    session["b"] = 2
    session.save()
    assert dict(session_for_reply_channel(CLIENT).items()) == {"b": 2}
    session.create()
    assert session.exists(SESSION_KEY)


async def test_a_store_keeps_the_key_in_a_coroutine(engine, message):
    session = await aopen_session(message)
    session["a"] = 1
    await session.acycle_key()
    await session.asave()
    assert (session.session_key, session["a"]) == (SESSION_KEY, 1)
    await session.aflush()
    assert session.session_key == SESSION_KEY
    assert not await session.aexists(SESSION_KEY)
    session["b"] = 2
    await session.asave()
    assert await session.aexists(SESSION_KEY)
    await session.acreate()
    assert await session.aexists(SESSION_KEY)


@pytest.fixture
def db_engine(settings, transactional_db):
    settings.CHANNEL_SESSION_ENGINE = f"{BACKENDS}.db"


async def test_a_coroutine_reads_and_saves_any_connection_s(engine, message):
    session = await aopen_session(message)
    await session.aset("room", "blue")
    await session.asave()
    elsewhere = session_for_reply_channel(CLIENT)
    assert await elsewhere.aget("room") == "blue"
    await elsewhere.aset("room", "red")
    await elsewhere.asave()
    assert (await aopen_session(message))["room"] == "red"


def test_other_code_reads_it_with_django_s_own_store(db_engine, message):
    session = open_session(message)
    session["room"] = "blue"
    session.save()
    assert SessionStore(SESSION_KEY)["room"] == "blue"


def test_a_session_without_a_row_keeps_its_key_and_saves_nothing(db_engine):
    session = session_for_reply_channel(CLIENT)
    assert (session.session_key, dict(session.items())) == (SESSION_KEY, {})
    assert Session.objects.count() == 0


def test_deleting_another_session_s_row_leaves_this_one_as_it_is(db_engine, message):
    session = open_session(message)
    session.delete("another-key")
    session["a"] = 1
    session.save()
    assert Session.objects.count() == 1


def test_a_row_that_somebody_else_deleted_does_not_come_back(db_engine, message):
    session = open_session(message)
    SessionStore(SESSION_KEY).delete()
    session["a"] = 1
    with pytest.raises(UpdateError):
        session.save()


async def test_whoever_creates_it_second_comes_again(db_engine, message, monkeypatch):
    """Two messages about one connection, of which only one came from it, may run at once."""
    store = engines._store_of(f"{BACKENDS}.db")

    def too_late(self, must_create=False):
        raise CreateError

    async def atoo_late(self, must_create=False):
        raise CreateError

    monkeypatch.setattr(store, "save", too_late)
    monkeypatch.setattr(store, "asave", atoo_late)
    with pytest.raises(ConsumeLater):
        await aopen_session(message)


def test_whoever_creates_it_second_comes_again_in_a_function(db_engine, message, monkeypatch):
    def too_late(self, must_create=False):
        raise CreateError

    monkeypatch.setattr(engines._store_of(f"{BACKENDS}.db"), "save", too_late)
    with pytest.raises(ConsumeLater):
        open_session(message)


def test_the_store_of_an_engine():
    assert engine_module(f"{BACKENDS}.db", "SESSION_ENGINE") is SessionStore


# --- in the connection's state ----------------------------------------------------------------------------------------


def run(consumer, **kwargs):
    return Chain([route("websocket.receive", consumer)], **kwargs)


def test_in_a_consumer_the_own_connection_s_is_part_of_its_state():
    def consumer(message):
        message.state["n"] = 1
        session = session_for_reply_channel(message.reply_channel.name)
        session["room"] = "blue"
        session.save()
        assert KEY in message.state

    with run(consumer) as chain:
        connection = Connection(chain)
        connection.receive()
        assert connection.session == {"room": "blue"}
        assert len(chain.states()) == 1


def test_in_a_consumer_another_connection_s_is_told_when_it_ends():
    other = "websocket.send.T1!other"

    def consumer(message):
        session = session_for_reply_channel(other)
        session.save()
        session.create()
        session["room"] = "blue"
        session.save()
        assert chain.states(other) == []

    with run(consumer) as chain:
        chain.submit("websocket.receive", {"path": "/", "text": ""}, order=1)
        ask = wait_until(lambda: [item for item in chain.look() if hasattr(item, "question")])[0]
        chain.inbox.answer(ask.token, {})
        changes = wait_until(lambda: chain.states(other))
        assert unpack_value(changes[-1][KEY]) == b'{"room":"blue"}'


def test_outside_a_consumer_the_default_layer_leads_to_the_server(settings):
    settings.CHANNEL_LAYERS = {"default": {"BACKEND": "fairway.layers.MemoryLayer", "ROUTING": []}}
    with Chain(layer=channel_layers["default"]) as chain:
        session = session_for_reply_channel(CLIENT)
        session.clear()
        session["room"] = "blue"
        session.place._state = session.place._opened({})
        session.save()
        changes = wait_until(chain.states)
    assert unpack_value(changes[0][KEY]) == b'{"room":"blue"}'


@pytest.mark.parametrize(("stored", "expected"), [({KEY: pack_value(b'{"n":2}', KEY)}, 2), ({}, 1)])
@pytest.mark.parametrize("is_async", [False, True])
def test_what_a_message_carries_along_may_be_old_and_counts_where_the_connection_is_gone(stored, expected, is_async):
    seen = []

    def receive(message):
        Channel("work", channel_layer=chain.layer).send({"reply_channel": CLIENT})

    def work(message):
        seen.append(open_session(message)["n"])

    async def awork(message):
        seen.append((await aopen_session(message))["n"])

    with Chain([route("websocket.receive", receive), route("work", awork if is_async else work)]) as chain:
        state = {KEY: pack_value(b'{"n":1}', KEY)}
        chain.run("websocket.receive", {"path": "/", "text": ""}, order=1, state=state)
        ask = wait_until(lambda: [item for item in chain.look() if hasattr(item, "question")])[0]
        chain.inbox.answer(ask.token, stored)
        assert wait_until(lambda: seen) == [expected]


def test_messages_about_one_connection_lose_nothing_of_each_other(ws_client):
    """As the best known chat for Channels 1 joins its rooms."""

    def receive(message):
        Channel("chat.join").send({"reply_channel": message.content["reply_channel"], "room": message["text"]})

    @channel_session
    def join(message):
        message.channel_session["rooms"] = [*message.channel_session.get("rooms", []), message["room"]]

    with apply_routes([route("websocket.receive", receive), route("chat.join", join)]):
        for room in "ab":
            ws_client.send_and_consume("websocket.receive", text=room)
        for _ in "ab":
            ws_client.consume("chat.join")
    assert session_for_reply_channel(ws_client.reply_channel)["rooms"] == ["a", "b"]


def test_a_message_about_a_connection_asks_its_server_and_saves_with_its_commit():
    seen = []

    def consumer(message):
        session = open_session(message)
        seen.append(session["room"])
        session["room"] = "red"
        session.save()

    async def aconsumer(message):
        session = await aopen_session(message)
        seen.append(session["room"])
        session["room"] = "red"
        await session.asave()

    for work in (consumer, aconsumer):
        with Chain([route("work", work)]) as chain:
            Channel("work", channel_layer=chain.layer).send({"reply_channel": CLIENT})
            ask = wait_until(lambda: [item for item in chain.look() if hasattr(item, "question")])[0]
            chain.inbox.answer(ask.token, {KEY: pack_value(b'{"room":"blue"}', "")})
            changes = wait_until(chain.states)
            assert unpack_value(changes[0][KEY]) == b'{"room":"red"}'
    assert seen == ["blue", "blue"]


async def test_a_message_that_nobody_consumes_here_has_the_session_that_its_server_keeps():
    with Chain() as chain:
        message = Message({"reply_channel": "websocket.send.gone!1"}, "work", chain.layer)
        assert open_session(message).is_empty()
        assert (await aopen_session(message)).is_empty()
