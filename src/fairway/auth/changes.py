"""What a logout, a login, a new password, and the end of an account do to sockets.

Django forgets a login with the next request. A socket has no next request, so it is closed:

=====================================  =====================================================================
a session ends: logout, another login  its sockets are closed
a password changes                     all sockets of the user are, but those of the session that changes it
a user is deactivated or deleted       all sockets of the user are
=====================================  =====================================================================

When the transaction has committed, that is; with code 1008. It is done on every layer of `CHANNEL_LAYERS`, and a layer
that cannot be reached breaks neither the save nor the logout: the log says what was not closed.

Not seen are `QuerySet.update()` and SQL, of which Django tells nobody: `disconnect_user` is for those.
"""

import logging
from collections.abc import Callable
from functools import partial
from typing import Any

from django.apps import apps
from django.contrib.auth import get_user_model
from django.contrib.auth.signals import user_logged_in, user_logged_out
from django.db import router
from django.db.models.signals import post_delete, post_save, pre_save
from django.utils.crypto import constant_time_compare

from fairway.auth.acting import Acting, Login, acting_session, cookie_of, follow_session, http_keys
from fairway.auth.logins import LOGGED_OUT, close_channels, close_group, hash_of, session_group, when_committed
from fairway.conf import channel_layers, read_channel_layers
from fairway.errors import LayerUnavailable
from fairway.http.current import current_request, observers
from fairway.layers.base import Layer
from fairway.sessions.decorators import open_http_session

logger = logging.getLogger("fairway.auth")

_MARK = "_fairway_reason"
"""Where a user object carries from `pre_save` to `post_save` why its sockets will be closed."""

# Told to the clients.
PASSWORD = "password changed"  # noqa: S105  none
DEACTIVATED = "account deactivated"
DELETED = "account deleted"


def connect_receivers() -> None:
    """Watch logins, logouts, and the user model with all that derive from it. Repeatable."""
    user_logged_in.connect(_after_login, dispatch_uid="fairway.auth.changes")
    user_logged_out.connect(_at_logout, dispatch_uid="fairway.auth.changes")
    if _after_request not in observers:
        observers.append(_after_request)
    # Each by its name: a receiver for the deletion of any model would cost every model its fast deletes.
    for model in apps.get_models():
        if issubclass(model, get_user_model()):
            pre_save.connect(_before_save, sender=model, dispatch_uid="fairway.auth.changes")
            post_save.connect(_after_save, sender=model, dispatch_uid="fairway.auth.changes")
            post_delete.connect(_after_delete, sender=model, dispatch_uid="fairway.auth.changes")


# --- sessions ---------------------------------------------------------------------------------------------------------


def _at_logout(*, request: Any, user: Any, **_kwargs: Any) -> None:
    keys = http_keys(request)

    def close() -> None:
        # Django is about to delete the session. A client that comes back at once must not find it, so it goes first.
        for key in keys:
            open_http_session(key).delete()
            _on_each_layer("sockets of a session that was logged out", _closing(session_group(key), LOGGED_OUT))

    if keys and read_channel_layers():
        when_committed(router.db_for_write(get_user_model() if user is None else type(user)), close)


def _after_login(*, request: Any, user: Any, **_kwargs: Any) -> None:
    """Close what was opened in the session that the login has ended: another user's, or one with an old password.

    In a request that Fairway runs, the end of the request tells more.
    """
    old = cookie_of(request)
    if current_request.get() is not None or old not in http_keys(request) or old == request.session.session_key:
        return
    close = _closing(session_group(old), LOGGED_OUT)
    what = "sockets of a session that a login has ended"
    when_committed(router.db_for_write(type(user)), partial(_on_each_layer, what, close))


def _after_request(request: Any, response: Any) -> None:
    """Let the sockets follow their session, if it has got another key or has ended."""
    session = getattr(request, "session", None)
    if session is None or not session.modified:
        return
    old, new = cookie_of(request), session.session_key
    if old and old != new:
        if response.status_code >= 500:
            new = None  # Django has not told the browser
        _on_each_layer("sockets of a session that has changed its key", partial(follow_session, old, new))


# --- users ------------------------------------------------------------------------------------------------------------


def _before_save(*, sender: Any, instance: Any, using: str, update_fields: Any, **_kwargs: Any) -> None:
    """Compare the stored user with what is about to be stored."""
    instance.__dict__.pop(_MARK, None)
    if instance._state.adding or not _may_matter(sender, update_fields) or not read_channel_layers():  # noqa: SLF001
        return
    stored = sender._base_manager.using(using).filter(pk=instance.pk).first()  # noqa: SLF001  Django documents it
    if stored is None:
        return
    was_active, old_hash = _is_active(stored), hash_of(stored)
    if update_fields is None:
        stored = instance
    else:
        for name in update_fields:
            setattr(stored, name, getattr(instance, name))
    if was_active and not _is_active(stored):
        instance.__dict__[_MARK] = DEACTIVATED
    elif not constant_time_compare(old_hash, hash_of(stored)):
        instance.__dict__[_MARK] = PASSWORD


def _after_save(*, instance: Any, using: str, **_kwargs: Any) -> None:
    reason = instance.__dict__.pop(_MARK, None)
    if reason is None:
        return
    login = Login.of(instance)
    close = _closing(login.group, reason)
    if reason == PASSWORD and (acting := acting_session()) is not None:
        close = partial(_close_others, login, acting)
    when_committed(using, partial(_on_each_layer, f"sockets of user {login.id} ({reason})", close))


def _after_delete(*, instance: Any, using: str, **_kwargs: Any) -> None:
    login = Login.of(instance)
    close = _closing(login.group, DELETED)
    when_committed(using, partial(_on_each_layer, f"sockets of user {login.id} ({DELETED})", close))


def _may_matter(model: Any, update_fields: Any) -> bool:
    """Say whether saving these fields may end a login. Only a model with a hash of its own can tell of others."""
    if update_fields is None or not {"password", "is_active"}.isdisjoint(update_fields):
        return True
    from django.contrib.auth.base_user import AbstractBaseUser

    usual = AbstractBaseUser.get_session_auth_hash
    return getattr(model, "get_session_auth_hash", usual) is not usual and set(update_fields) != {"last_login"}


def _is_active(user: Any) -> bool:
    return bool(getattr(user, "is_active", True))


# --- closing ----------------------------------------------------------------------------------------------------------


def _closing(group: str, reason: str) -> Callable[[Layer], None]:
    return lambda layer: close_group(layer, group, reason)


def _close_others(login: Login, acting: Acting, layer: Layer) -> None:
    """Close the sockets of a user, but let those of the acting session go on."""
    try:
        members = set(layer.group_channels(login.group))
        kept = acting.channels(layer) & members
    except LayerUnavailable:
        logger.warning("closing all sockets of user %s: a server did not say which are whose", login.id)
        close_group(layer, login.group, PASSWORD)
        return
    close_channels(layer, members - kept, PASSWORD)
    if kept:
        acting.keep(layer, kept, login)


def _on_each_layer(what: str, close: Callable[[Layer], None]) -> None:
    """Do it on every layer that is configured. What fails is logged: by now it is saved, and the user is logged out."""
    for alias in read_channel_layers():
        try:
            close(channel_layers[alias])
        except Exception:
            logger.exception("%s may still be open, on the layer %r of CHANNEL_LAYERS", what, alias)
