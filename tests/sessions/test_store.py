"""The channel session in the connection's state."""

import asyncio
import logging
import threading
from datetime import timedelta

import pytest
from django.contrib.sessions.backends.base import CreateError

from fairway import Message
from fairway.errors import MessageTooLarge
from fairway.layers.codec import pack_value, unpack_value
from fairway.layers.memory import MemoryLayer
from fairway.sessions.store import KEY, ChannelSessionStore, OtherState, OwnState, session_key_for
from tests.support.chain import CLIENT, Chain
from tests.support.waiting import await_until, wait_until


@pytest.fixture
def message():
    return Message({"reply_channel": CLIENT}, "websocket.receive", None)


@pytest.fixture
def session(message):
    return ChannelSessionStore(OwnState(message))


def stored(message):
    """The store as the connection's next message has it."""
    return ChannelSessionStore(OwnState(message))


def test_what_is_saved_is_there_for_the_next_store(session, message):
    session["room"] = "blue"
    session.setdefault("seats", []).append(1)
    assert session.modified
    assert dict(stored(message).items()) == {}
    session.save()
    assert dict(stored(message).items()) == {"room": "blue", "seats": [1]}
    assert not stored(message).modified


async def test_the_same_in_a_coroutine(session, message):
    await session.aset("room", "blue")
    assert await session.aexists(session.session_key) is False
    await session.asave()
    assert await session.aexists(session.session_key) is True
    assert await stored(message).aget("room") == "blue"
    assert list(await stored(message).akeys()) == ["room"]


def test_the_key_is_made_of_the_reply_channel_and_stays(session):
    assert session_key_for("abc") == "chna9993e364706816aba3e25717850c"
    key = session.session_key
    assert key == session_key_for(CLIENT)
    assert len(key) == 32
    session["a"] = 1
    session.cycle_key()
    assert (session.session_key, session["a"], session.modified) == (key, 1, True)
    session.create()
    assert (session.session_key, session.get("a")) == (key, None)
    session.flush()
    assert session.session_key == key
    session._session_key = None
    assert session._session_key == key


async def test_the_key_stays_in_a_coroutine(session):
    key = session.session_key
    await session.aset("a", 1)
    await session.acycle_key()
    assert (session.session_key, await session.aget("a"), session.modified) == (key, 1, True)
    await session.acreate()
    assert (session.session_key, await session.aget("a")) == (key, None)
    await session.aflush()
    assert session.session_key == key


def test_a_flushed_session_is_gone_and_may_be_used_again(session, message):
    session["a"] = 1
    session.save()
    assert session.exists(session.session_key)
    session.flush()
    assert session.is_empty()
    assert KEY not in message.state
    session["b"] = 2
    session.save()
    assert dict(stored(message).items()) == {"b": 2}


async def test_a_session_flushed_in_a_coroutine_is_gone(session, message):
    await session.aset("a", 1)
    await session.asave()
    await session.aflush()
    assert KEY not in message.state


def test_an_empty_session_is_not_stored(session, message):
    assert session.is_empty()
    session.save()
    assert KEY not in message.state


def test_nothing_is_stored_under_any_other_key(session, message):
    session["a"] = 1
    session.save()
    assert not session.exists("another-key")
    session.delete("another-key")
    assert session.exists(session.session_key)
    session.delete(session.session_key)
    assert not session.exists(session.session_key)


async def test_the_same_with_other_keys_in_a_coroutine(session):
    await session.aset("a", 1)
    await session.asave()
    assert not await session.aexists("another-key")
    await session.adelete("another-key")
    assert await session.aexists(session.session_key)
    await session.adelete(session.session_key)
    assert not await session.aexists(session.session_key)


async def test_what_must_be_created_must_not_be_there(session, message):
    session.save(must_create=True)
    session["a"] = 1
    session.save(must_create=True)
    with pytest.raises(CreateError):
        session.save(must_create=True)
    with pytest.raises(CreateError):
        await session.asave(must_create=True)
    await session.adelete()
    await stored(message).asave(must_create=True)
    assert dict(stored(message).items()) == {}


def test_an_expiry_is_kept_with_it(session, message):
    session.set_expiry(timedelta(hours=1))
    session.save()
    assert 3500 < stored(message).get_expiry_age() <= 3600
    assert ChannelSessionStore.clear_expired() is None


async def test_clearing_what_is_expired_is_nothing_to_do():
    assert await ChannelSessionStore.aclear_expired() is None


def test_the_serializer_is_that_of_the_setting(session, message, settings):
    settings.SESSION_SERIALIZER = "django.core.signing.JSONSerializer"
    session["a"] = "ä"
    session.save()
    assert message.state[KEY] == b'{"a":"\\u00e4"}'


def test_what_cannot_be_read_is_an_empty_session_and_a_warning(session, message, caplog):
    message.state[KEY] = b"\x80pickled once"
    assert session.is_empty()
    assert caplog.record_tuples == [
        ("fairway.sessions", logging.WARNING, f"the session of {CLIENT} cannot be read, so it is empty now")
    ]


async def test_a_session_that_is_too_large_says_so_and_what_was_stored_stays(session, message):
    session["a"] = "small"
    session.save()
    session["a"] = "x" * 70_000
    with pytest.raises(
        MessageTooLarge, match=r"channel session \(.*CHANNEL_SESSION_ENGINE\): 70,\d\d\d bytes"
    ) as error:
        session.save()
    assert error.value.limit == 64 * 1024
    with pytest.raises(MessageTooLarge, match="channel session"):
        await session.asave()
    assert dict(stored(message).items()) == {"a": "small"}


# --- connections whose message is not at hand -------------------------------------------------------------------------


def answer(chain, state):
    ask = [item for item in chain.look() if hasattr(item, "question")][-1]
    assert (ask.question, ask.about) == ("state", CLIENT)
    chain.inbox.answer(ask.token, state)


def asked(chain):
    return [item for item in chain.look() if hasattr(item, "question")]


def in_a_thread(function):
    results = []
    thread = threading.Thread(target=lambda: results.append(function()))
    thread.start()
    return thread, results


def test_another_connection_s_server_is_asked_and_told():
    with Chain() as chain:
        session = ChannelSessionStore(OtherState(CLIENT, chain.layer))
        thread, results = in_a_thread(lambda: session.get("room"))
        wait_until(lambda: asked(chain))
        answer(chain, {KEY: pack_value(b'{"room":"blue"}', "")})
        thread.join()
        assert results == ["blue"]
        session["room"] = "red"
        session.save()
        session.flush()
        changes = wait_until(lambda: len(chain.states()) > 1 and chain.states())
    assert unpack_value(changes[0][KEY]) == b'{"room":"red"}'
    assert changes[1] == {KEY: None}


async def test_the_same_in_a_coroutine_without_blocking_the_loop():
    with Chain() as chain:
        session = ChannelSessionStore(OtherState(CLIENT, chain.layer))
        reading = asyncio.create_task(session.aget("room"))
        await await_until(lambda: asked(chain))
        answer(chain, {KEY: pack_value(b'{"room":"blue"}', "")})
        assert await reading == "blue"
        await session.aset("room", "red")
        await session.asave()
        await session.aflush()
        changes = await await_until(lambda: len(chain.states()) > 1 and chain.states())
    assert unpack_value(changes[0][KEY]) == b'{"room":"red"}'
    assert changes[1] == {KEY: None}


async def test_a_save_without_a_look_asks_first_for_the_limit_is_that_of_the_whole_state():
    layer = MemoryLayer()
    OtherState("websocket.send.gone!1", layer).write(b"{}")
    await OtherState("websocket.send.gone!1", layer).awrite(b"{}")
    with pytest.raises(MessageTooLarge, match="channel session"):
        OtherState("websocket.send.gone!1", layer).write(b"x" * 70_000)
    layer.close()
