"""Sockets are known by their user and their session, and can be closed by them."""

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import AnonymousUser, User
from django.contrib.sessions.backends.db import SessionStore
from django.db import transaction

from fairway import Group, Message, channel_layers
from fairway.auth import adisconnect_user, disconnect_user
from fairway.auth.logins import (
    anote_login,
    close_channels,
    hash_of,
    note_login,
    session_group,
    user_group,
)
from fairway.broker.effects import Envelope
from fairway.errors import DenyConnection, InvalidLayerSetting, InvalidMessage, InvalidName
from fairway.layers.codec import decode_message
from fairway.layers.memory import MemoryLayer

SINK = "sink"
"""A member that is no socket: what reaches the group can be read from it."""


@pytest.fixture
def layer(settings):
    memory = {"BACKEND": "fairway.layers.MemoryLayer"}
    settings.CHANNEL_LAYERS = {"default": memory, "other": memory}
    yield channel_layers["default"]
    channel_layers.clear()


@pytest.fixture
def user(db):
    return User.objects.create_user("ada", password="secret")


@pytest.fixture
def received(layer, user):
    """Return what came for the user's sockets."""
    layer.group_add(user_group(user.pk), SINK)
    reader = layer.reader([SINK])

    def look():
        delivery = reader.receive(0)
        if delivery is None:
            return None
        reader.commit(delivery)
        return decode_message(delivery.body)

    return look


def logged_in(user):
    session = SessionStore()
    session["_auth_user_id"] = str(user.pk)
    session["_auth_user_backend"] = "django.contrib.auth.backends.ModelBackend"
    session["_auth_user_hash"] = user.get_session_auth_hash()
    session.create()
    return session.session_key


def connecting(layer, channel="somebody"):
    content = {"reply_channel": channel, "path": "/", "headers": []}
    return Message(content, "websocket.connect", layer, envelope=Envelope("m", "websocket.connect", channel, order=0))


def test_names_of_groups():
    assert user_group(5) == "fairway.user.5"
    assert user_group("x" * 300) == user_group("x" * 300)
    assert len(user_group("x" * 300)) < 100
    assert session_group("0123456789abcdef") == "fairway.session.9f9f5111f7b27a781f1f1ddde5ebc2dd"
    assert len(session_group("forged ä \udc80 \0" * 1000)) == len("fairway.session.") + 32


def test_no_application_can_name_them(layer):
    with pytest.raises(InvalidName, match="reserved"):
        Group(user_group(5), channel_layer=layer).send({"close": True})


def test_a_socket_is_its_users_and_its_sessions(layer, user):
    key = logged_in(user)
    message = connecting(layer)
    note_login(message, user, key)
    assert layer.group_channels(user_group(user.pk)) == ["somebody"]
    assert layer.group_channels(session_group(key)) == ["somebody"]
    assert message.state["fairway.login"] == session_group(key)


@pytest.mark.django_db(transaction=True)
async def test_a_coroutine_notes_the_same(layer):
    user = await User.objects.acreate(username="ada", password="x")
    key = await _in_thread(logged_in, user)
    message = connecting(layer)
    await anote_login(message, user, key)
    assert layer.group_channels(session_group(key)) == ["somebody"]
    assert (await message.astate())["fairway.login"] == session_group(key)
    await anote_login(connecting(layer, "other"), AnonymousUser(), key)
    await anote_login(connecting(layer, "keyless"), user, None)
    assert layer.group_channels(user_group(user.pk)) == ["somebody", "keyless"]
    assert layer.group_channels(session_group(key)) == ["somebody"]


async def _in_thread(call, *args):
    from asgiref.sync import sync_to_async

    return await sync_to_async(call)(*args)


def test_without_an_http_session_a_socket_is_its_users(layer, user):
    message = connecting(layer)
    note_login(message, user, None)
    assert layer.group_channels(user_group(user.pk)) == ["somebody"]
    assert dict(message.state) == {}


@pytest.mark.parametrize("anonymous", [AnonymousUser(), None])
def test_who_is_nobody_or_nowhere_is_in_no_group(layer, user, anonymous):
    if anonymous:
        note_login(connecting(layer), anonymous, "key")
    else:
        note_login(Message({"path": "/"}, "websocket.connect", layer), user, "key")
        note_login(connecting(None), user, "key")
    assert layer.group_channels(user_group(user.pk)) == []
    assert layer.group_channels(session_group("key")) == []


@pytest.mark.parametrize("ending", ["logout", "other user", "password", "deactivated", "forged"])
def test_a_login_that_ended_before_it_was_noted_is_refused(layer, user, ending):
    key = logged_in(user)
    if ending == "logout":
        SessionStore(key).delete()
    elif ending == "other user":
        session = SessionStore(key)
        session["_auth_user_id"] = "0"
        session.save()
    elif ending == "password":
        User.objects.filter(pk=user.pk).update(password="other")
    elif ending == "deactivated":
        User.objects.filter(pk=user.pk).update(is_active=False)
    else:
        key = "0" * 32
    with pytest.raises(DenyConnection, match="the login has ended"):
        note_login(connecting(layer), user, key)


@pytest.mark.parametrize("how", [lambda user: user, lambda user: user.pk, lambda user: str(user.pk)])
def test_disconnecting_a_user_by_object_key_or_text(received, user, how, django_capture_on_commit_callbacks):
    with django_capture_on_commit_callbacks(execute=True):
        disconnect_user(how(user), 4001, "enough")
        assert received() is None
    assert received() == {"close": 4001, "reason": "enough"}


def test_the_usual_code_and_another_layer(received, layer, user, django_capture_on_commit_callbacks):
    with django_capture_on_commit_callbacks(execute=True):
        disconnect_user(user, alias="other")
    assert received() is None
    with django_capture_on_commit_callbacks(execute=True):
        disconnect_user(user)
    assert received() == {"close": 1008, "reason": ""}


def disconnect_in_vain(user):
    with transaction.atomic():
        disconnect_user(user)
        raise RuntimeError


@pytest.mark.django_db(transaction=True)
def test_it_waits_for_the_commit_and_is_forgotten_with_a_rollback(layer):
    user = User.objects.create_user("ada")
    layer.group_add(user_group(user.pk), SINK)
    reader = layer.reader([SINK])
    with transaction.atomic():
        disconnect_user(user)
        assert reader.receive(0) is None
    assert reader.receive(5) is not None
    with pytest.raises(RuntimeError):
        disconnect_in_vain(user)
    assert reader.receive(0) is None
    disconnect_user(user)
    assert reader.receive(5) is not None


async def test_a_coroutine_disconnects_at_once(layer):
    layer.group_add(user_group(5), SINK)
    await adisconnect_user(5, reason="enough")
    delivery = layer.reader([SINK]).receive(5)
    assert decode_message(delivery.body) == {"close": 1008, "reason": "enough"}


@pytest.mark.parametrize(
    ("arguments", "error", "says"),
    [
        ((AnonymousUser(),), ValueError, "an anonymous or unsaved user has no sockets"),
        ((None,), ValueError, "has no primary key"),
        (("ada",), ValueError, "'ada' is no primary key of a User"),
        ((5, 999), InvalidMessage, "a code an application may use"),
        ((5, 1008, "ä" * 100), InvalidMessage, "'reason'"),
        ((5, 1008, "", "nowhere"), InvalidLayerSetting, "no 'nowhere'"),
    ],
)
async def test_what_cannot_be_disconnected(layer, arguments, error, says):
    with pytest.raises(error, match=says):
        disconnect_user(*arguments)
    with pytest.raises(error, match=says):
        await adisconnect_user(*arguments)


def test_closing_some_channels():
    layer = MemoryLayer()
    close_channels(layer, [], "x")
    close_channels(layer, ["one", "two"], "enough")
    for channel in ("one", "two"):
        assert decode_message(layer.reader([channel]).receive(5).body) == {"close": 1008, "reason": "enough"}
    layer.close()


def test_a_user_without_a_hash():
    class Plain:
        pass

    assert hash_of(Plain()) == ""
    assert hash_of(get_user_model()(password="x")) != ""
