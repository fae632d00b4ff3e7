"""Where channel sessions are kept: in the connection's state, or in the Django engine of `CHANNEL_SESSION_ENGINE`."""

from functools import lru_cache
from importlib import import_module
from typing import Any

from django.contrib.sessions.backends.base import CreateError, SessionBase
from django.core.exceptions import ImproperlyConfigured

from fairway import DEFAULT_CHANNEL_LAYER
from fairway.conf import channel_layers, read_setting
from fairway.errors import ConsumeLater
from fairway.layers.base import Layer
from fairway.message import Message
from fairway.sessions.store import ChannelSessionStore, OtherState, OwnState, session_key_for
from fairway.worker.outbox import current_outbox


def session_for_reply_channel(reply_channel: str, channel_layer: Layer | None = None) -> SessionBase:
    """Return the channel session of a connection: what views and tasks read and save it by.

    It loads when it is looked at, and is not saved by itself; `aget`, `aset` and `asave` never block.

    Parameters:
        reply_channel: the connection.
        channel_layer: the way to its server; that of the running consumer, or the default one.

    Raises:
        ImproperlyConfigured: `CHANNEL_SESSION_ENGINE` names no session engine.
        ValueError: it names the one that keeps sessions in cookies.
    """
    engine = configured_engine()
    if engine is None:
        return _state_session(reply_channel, channel_layer)
    return engine(session_key_for(reply_channel))


def prepare_session(message: Message) -> None:
    """Let the message find its channel session when somebody looks at it; in a Django engine it is created at once.

    Raises: as `open_session`.
    """
    if configured_engine() is None:
        _connection_of(message)
        vars(message).pop("channel_session", None)
        message.find_channel_session = open_session
    else:
        message.channel_session = open_session(message)


def open_session(message: Message) -> SessionBase:
    """Return the channel session of the message's connection; in a Django engine it is created at once.

    Raises:
        ValueError: the message came from no connection.
        ConsumeLater: another consumer is creating it at this moment.
    """
    name = _connection_of(message)
    engine = configured_engine()
    if engine is None:
        return _session_of(message, name)
    session = engine(session_key_for(name))
    if not session.keys() and not session.exists(session_key_for(name)):
        try:
            session.save(must_create=True)
        except CreateError:
            raise ConsumeLater from None
    return session


async def aopen_session(message: Message) -> SessionBase:
    """Do as `open_session`; what is stored is here then, so looking at the session does not block."""
    name = _connection_of(message)
    engine = configured_engine()
    if engine is None:
        kept = _session_of(message, name)
        if type(kept.place) is OwnState and message.is_current:
            await message.astate()
        else:
            await kept.akeys()
        return kept
    session = engine(session_key_for(name))
    if not await session.akeys() and not await session.aexists(session_key_for(name)):
        try:
            await session.asave(must_create=True)
        except CreateError:
            raise ConsumeLater from None
    return session


def configured_engine() -> type[SessionBase] | None:
    """Return the store class that `CHANNEL_SESSION_ENGINE` names; None for the connection's state.

    Raises:
        ImproperlyConfigured, ValueError: as `session_for_reply_channel`.
    """
    path = read_setting("CHANNEL_SESSION_ENGINE")
    return None if path is None else _store_of(path)


@lru_cache(maxsize=16)
def engine_module(path: str, setting: str) -> type[SessionBase]:
    """Return the session store of a Django engine.

    Raises:
        ImproperlyConfigured: there is none at `path`, which is the value of `setting`.
    """
    try:
        store: type[SessionBase] = import_module(path).SessionStore
    except (ImportError, AttributeError, TypeError, ValueError) as error:
        msg = f"{setting} = {path!r} names no session engine ({error}); 'django.contrib.sessions.backends.db' is one"
        raise ImproperlyConfigured(msg) from error
    return store


@lru_cache(maxsize=16)
def _store_of(path: str) -> type[SessionBase]:
    from django.contrib.sessions.backends import signed_cookies

    store = engine_module(path, "CHANNEL_SESSION_ENGINE")
    if issubclass(store, signed_cookies.SessionStore):
        msg = (
            f"CHANNEL_SESSION_ENGINE = {path!r} keeps sessions in cookies, and a message on a socket cannot set one; "
            "leave the setting out to keep them in the connection's state, or name another engine"
        )
        raise ValueError(msg)  # noqa: TRY004  a wrong value of a setting
    # Same name: Django's stores salt what they sign with it, so that other code reads these sessions too.
    names = {"__module__": store.__module__, "__qualname__": store.__qualname__}
    return type(store.__name__, (_FixedKey, store), names)


class _FixedKey:
    """Mixed into a Django session store: its key stays what the reply channel makes it.

    Django's stores drop the key of a session that is not stored, and change it when somebody logs in or out.
    """

    clear: Any
    modified: bool

    def __init__(self, session_key: str) -> None:
        self._fixed = session_key
        self._is_deleted = False
        super().__init__(session_key)  # type: ignore[call-arg]  # it is the engine's

    @property
    def session_key(self) -> str:
        return self._fixed

    @property
    def _session_key(self) -> str:
        return self._fixed

    @_session_key.setter
    def _session_key(self, value: str | None) -> None:
        """Keep the key."""

    def is_empty(self) -> bool:
        return not self._get_session()  # type: ignore[attr-defined]

    def save(self, must_create: bool = False) -> None:  # noqa: FBT001, FBT002
        super().save(must_create or self._is_deleted)  # type: ignore[misc]
        self._is_deleted = False

    async def asave(self, must_create: bool = False) -> None:  # noqa: FBT001, FBT002
        await super().asave(must_create or self._is_deleted)  # type: ignore[misc]
        self._is_deleted = False

    def delete(self, session_key: str | None = None) -> None:
        super().delete(session_key)  # type: ignore[misc]
        self._is_deleted |= session_key in (None, self._fixed)

    async def adelete(self, session_key: str | None = None) -> None:
        await super().adelete(session_key)  # type: ignore[misc]
        self._is_deleted |= session_key in (None, self._fixed)

    def create(self) -> None:
        self.delete()
        self.save(must_create=True)
        self.modified = True

    async def acreate(self) -> None:
        await self.adelete()
        await self.asave(must_create=True)
        self.modified = True

    def cycle_key(self) -> None:
        self.modified = True

    async def acycle_key(self) -> None:
        self.modified = True

    def flush(self) -> None:
        self.clear()
        self.delete()

    async def aflush(self) -> None:
        self.clear()
        await self.adelete()


def _connection_of(message: Message) -> str:
    name: str | None = message.content.get("reply_channel")
    if not name:
        msg = f"channel_session needs a message of a connection, and this one has no reply channel: {message!r}"
        raise ValueError(msg)
    return name


def _session_of(message: Message, name: str) -> ChannelSessionStore:
    layer = message.channel_layer
    if layer is None:
        return ChannelSessionStore(OwnState(message))
    outbox = current_outbox.get()
    if outbox is None or not message.is_current:
        return ChannelSessionStore(OtherState(name, layer))
    envelope = outbox.delivery.envelope
    if envelope.order >= 0:
        return ChannelSessionStore(OwnState(message))
    # A message on a channel of the application's that carries the state along. It may have waited, and the connection's
    # own messages have gone on meanwhile: what it carries counts where the connection is gone.
    return ChannelSessionStore(OtherState(name, layer, envelope.state))


def _state_session(name: str, layer: Layer | None) -> ChannelSessionStore:
    outbox = current_outbox.get()
    if outbox is not None and outbox.is_open:
        envelope = outbox.delivery.envelope
        if envelope.reply_channel == name and layer in (None, outbox.layer):
            return _session_of(
                Message({"reply_channel": name}, envelope.channel, outbox.layer, envelope=envelope), name
            )
        layer = layer or outbox.layer
    if layer is None:
        layer = channel_layers[DEFAULT_CHANNEL_LAYER]
    return ChannelSessionStore(OtherState(name, layer))
