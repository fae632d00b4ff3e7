"""Which sockets belong to which login, and closing them.

A logged-in user's socket is a member of two groups that no application can name: one of the user, one of the HTTP
session. So whoever has a channel layer can close them: `disconnect_user`, and what `fairway.auth.changes` does when a
user logs out. The server that holds the socket keeps its memberships; nothing is stored, and nothing is left behind.
"""

import hashlib
from collections.abc import Callable, Iterable
from typing import Any

from asgiref.sync import sync_to_async
from django.contrib.auth import BACKEND_SESSION_KEY, SESSION_KEY, get_user_model, load_backend
from django.core.exceptions import ValidationError
from django.db import connections, router, transaction
from django.utils.crypto import constant_time_compare

from fairway import DEFAULT_CHANNEL_LAYER
from fairway.broker.effects import GroupSend
from fairway.conf import channel_layers
from fairway.errors import DenyConnection
from fairway.layers.base import Layer
from fairway.layers.codec import encode_message
from fairway.message import Message
from fairway.messages import check_group_message
from fairway.names import MAX_GROUP_LENGTH, random_part
from fairway.sessions.decorators import open_http_session
from fairway.worker.outbox import adispatch_effect, dispatch_effect

POLICY_VIOLATION = 1008
"""Close code (RFC 6455, 7.4.1): what is allowed no more."""

LOGGED_OUT = "logged out"
"""What the client is told when its session has ended."""

STATE_KEY = "fairway.login"
"""Where the group of its session stands in a connection's state."""

_USER = "fairway.user."
_SESSION = "fairway.session."
_CLOSING = "fairway.closing."


def user_group(pk: Any) -> str:
    """Return the group of the sockets of a user, given by a primary key as the model has it."""
    name = f"{_USER}{pk}"
    return name if len(name) <= MAX_GROUP_LENGTH else f"{_USER}sha256:{_digest(str(pk))}"


def session_group(session_key: str) -> str:
    """Return the group of the sockets of an HTTP session. Logs name groups, so it does not hold the key."""
    return _SESSION + _digest(session_key)


def note_login(message: Message, user: Any, session_key: str | None) -> Any:
    """Make the socket that is connecting one of its user's and of the user's session. An anonymous one is nobody's.

    Parameters:
        message: the `websocket.connect`.
        user: who was found in the session.
        session_key: of the HTTP session, where there is one.

    Returns:
        The user as they are stored now: whatever `disconnect_user` follows a change reaches the socket from here on.

    Raises:
        LayerUnavailable: it could not be confirmed. So the handshake fails: such a socket would outlive its login.
        DenyConnection: the login has ended meanwhile.
    """
    layer, groups = message.channel_layer, _groups(message, user, session_key)
    if layer is None or not groups:
        return user
    for group in groups:
        layer.group_add(group, message.content["reply_channel"])
    if session_key:
        user = _look_again(user, session_key)
        message.state[STATE_KEY] = groups[-1]
    return user


async def anote_login(message: Message, user: Any, session_key: str | None) -> Any:
    """Do as `note_login`."""
    layer, groups = message.channel_layer, _groups(message, user, session_key)
    if layer is None or not groups:
        return user
    for group in groups:
        await layer.agroup_add(group, message.content["reply_channel"])
    if session_key:
        user = await sync_to_async(_look_again)(user, session_key)
        (await message.astate())[STATE_KEY] = groups[-1]
    return user


def disconnect_user(
    user_or_pk: Any, code: int = POLICY_VIOLATION, reason: str = "", alias: str = DEFAULT_CHANNEL_LAYER
) -> None:
    """Close all sockets of a user: when the transaction commits, and in a consumer when that has finished.

    Parameters:
        user_or_pk: the user, or the primary key.
        code: the close code.
        reason: a text for the client, of at most 123 bytes.
        alias: which of `CHANNEL_LAYERS`.

    Raises:
        ValueError: nobody has this primary key; or (`InvalidMessage`) the code or the reason cannot be sent.
        LayerUnavailable: outside a transaction and a consumer: the layer cannot be reached.
    """
    group, body = user_group(_pk_of(user_or_pk)), close_body(code, reason)
    layer = channel_layers[alias]
    when_committed(router.db_for_write(get_user_model()), lambda: dispatch_effect(GroupSend(group, body), layer))


async def adisconnect_user(
    user_or_pk: Any, code: int = POLICY_VIOLATION, reason: str = "", alias: str = DEFAULT_CHANNEL_LAYER
) -> None:
    """Do as `disconnect_user`. A coroutine has no transaction to wait for."""
    group, body = user_group(_pk_of(user_or_pk)), close_body(code, reason)
    await adispatch_effect(GroupSend(group, body), channel_layers[alias])


# --- for the rest of this room ---------------------------------------------------------------------------------------


def close_body(code: int, reason: str) -> bytes:
    """Return the message that closes sockets.

    Raises:
        InvalidMessage: it cannot be sent.
    """
    message = {"close": code, "reason": reason}
    check_group_message(message)
    return encode_message(message)


def close_group(layer: Layer, group: str, reason: str) -> None:
    """Close the members of a group of ours."""
    dispatch_effect(GroupSend(group, close_body(POLICY_VIOLATION, reason)), layer)


def close_channels(layer: Layer, channels: Iterable[str], reason: str) -> None:
    """Close these sockets.

    They get it as a group of their own: a message for a single one would wait for room, and its client can see to it
    that there is none by reading slowly.
    """
    group = _CLOSING + random_part()
    members = list(channels)
    for channel in members:
        layer.group_add(group, channel)
    if members:
        close_group(layer, group, reason)


def hash_of(user: Any) -> str:
    """Return what ties the sessions of a user to the password; empty for a model that has no such thing."""
    return user.get_session_auth_hash() if hasattr(user, "get_session_auth_hash") else ""


def when_committed(using: str, call: Callable[[], None]) -> None:
    """Call `call` when the transaction of a database commits; at once when there is none."""
    if connections[using].in_atomic_block:
        # Django logs the name of what fails, and a partial has none.
        transaction.on_commit(lambda: call(), using=using, robust=True)  # noqa: PLW0108
    else:  # `on_commit` would do the same, but open a connection to find out
        call()


def _groups(message: Message, user: Any, session_key: str | None) -> list[str]:
    if not message.content.get("reply_channel") or not user.is_authenticated:
        return []
    groups = [user_group(user.pk)]
    return [*groups, session_group(session_key)] if session_key else groups


def _look_again(user: Any, session_key: str) -> Any:
    """Return the user, looked up once more now that the end of the login would be heard: it may have come before.

    Raises:
        DenyConnection: it has. Whoever comes back finds out who they are now.
    """
    session = open_http_session(session_key)
    if session.get(SESSION_KEY) == user._meta.pk.value_to_string(user):  # noqa: SLF001  Django documents it
        found = load_backend(session[BACKEND_SESSION_KEY]).get_user(user.pk)
        if found is not None and constant_time_compare(hash_of(found), hash_of(user)):
            return found
    raise DenyConnection("the login has ended while the socket was being opened")


def _pk_of(user_or_pk: Any) -> Any:
    """Return the primary key as the model has it, so that a text such as "5" finds the sockets of 5.

    Raises:
        ValueError: it is none.
    """
    model = get_user_model()
    pk = user_or_pk.pk if hasattr(user_or_pk, "pk") else user_or_pk
    try:
        pk = None if pk is None else model._meta.pk.to_python(pk)  # noqa: SLF001  Django's own way to ask
    except ValidationError as error:
        msg = f"{pk!r:.100} is no primary key of a {model.__name__}: {'; '.join(error.messages)}"
        raise ValueError(msg) from error
    if pk is None:
        msg = f"{user_or_pk!r:.100} has no primary key: an anonymous or unsaved user has no sockets"
        raise ValueError(msg)
    return pk


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]
