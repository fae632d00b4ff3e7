"""The channel session that needs no database: it lives in the connection's state, under one key.

The server keeps it and hands it over with each of the connection's messages, so reading it asks nobody, and it ends
with its socket. Where the message that is being consumed is the connection's own, a save goes out with the commit of
that message; for any other connection its server is asked, and told.
"""

import hashlib
import logging
from functools import lru_cache
from typing import Any, Protocol

from django.conf import settings
from django.contrib.sessions.backends.base import CreateError, SessionBase
from django.utils.module_loading import import_string

from fairway.broker.effects import SaveState
from fairway.errors import MessageTooLarge
from fairway.layers.base import Layer
from fairway.message import Message
from fairway.worker.outbox import adispatch_effect, dispatch_effect
from fairway.worker.state import ConnectionState

logger = logging.getLogger("fairway.sessions")

KEY = "fairway.session"
"""Where the session stands in the connection's state."""

_WHAT = (
    "channel session (it shares the limit of the connection's state: keep less in it, "
    "or keep it in a Django session engine with CHANNEL_SESSION_ENGINE)"
)


_imported = lru_cache(maxsize=8)(import_string)


def session_key_for(reply_channel: str) -> str:
    """Return the key of a connection's session."""
    return "chn" + hashlib.sha1(reply_channel.encode(), usedforsecurity=False).hexdigest()[:29]


class Place(Protocol):
    """Where the packed session of one connection is kept."""

    @property
    def reply_channel(self) -> str:
        """The connection."""

    def read(self) -> bytes | None:
        """Return what is kept, None when nothing is."""

    async def aread(self) -> bytes | None:
        """Do as `read`."""

    def write(self, packed: bytes | None) -> None:
        """Keep `packed`; None removes it. Raises `MessageTooLarge`, and keeps what there was."""

    async def awrite(self, packed: bytes | None) -> None:
        """Do as `write`."""


class OwnState:
    """The state of the connection whose message is at hand.

    Parameters:
        message: the message.
    """

    __slots__ = ("_message",)

    def __init__(self, message: Message) -> None:
        self._message = message

    @property
    def reply_channel(self) -> str:
        """The connection."""
        name: str = self._message.content["reply_channel"]
        return name

    def read(self) -> bytes | None:
        """Return what is kept."""
        return self._message.state.get(KEY)

    async def aread(self) -> bytes | None:
        """Do as `read`."""
        return (await self._message.astate()).get(KEY)

    def write(self, packed: bytes | None) -> None:
        """Keep `packed`; it is saved when the consumer ends."""
        _put(self._message.state, packed)

    async def awrite(self, packed: bytes | None) -> None:
        """Do as `write`."""
        _put(await self._message.astate(), packed)


class OtherState:
    """The state of a connection whose message is not being consumed here: its server keeps it.

    Parameters:
        reply_channel: the connection.
        layer: the way to its server.
        carried: the state that a message brought along, for when the server has none of that connection any more.
    """

    __slots__ = ("_carried", "_layer", "_state", "reply_channel")

    def __init__(self, reply_channel: str, layer: Layer, carried: dict[str, bytes] | None = None) -> None:
        self.reply_channel = reply_channel
        self._layer = layer
        self._carried = carried
        self._state: ConnectionState | None = None

    def read(self) -> bytes | None:
        """Ask the server."""
        self._state = self._opened(self._layer.state(self.reply_channel))
        return self._state.get(KEY)

    async def aread(self) -> bytes | None:
        """Do as `read`."""
        self._state = self._opened(await self._layer.astate(self.reply_channel))
        return self._state.get(KEY)

    def write(self, packed: bytes | None) -> None:
        """Tell the server: at once, or from inside a consumer when that ends."""
        state = self._state
        if state is None:
            state = self._state = self._opened(self._layer.state(self.reply_channel))
        dispatch_effect(_change(state, packed), self._layer)

    async def awrite(self, packed: bytes | None) -> None:
        """Do as `write`."""
        state = self._state
        if state is None:
            state = self._state = self._opened(await self._layer.astate(self.reply_channel))
        await adispatch_effect(_change(state, packed), self._layer)

    def _opened(self, packed: dict[str, bytes]) -> ConnectionState:
        return ConnectionState(self.reply_channel, packed or self._carried)


def _change(state: ConnectionState, packed: bytes | None) -> SaveState:
    _put(state, packed)
    return SaveState(state.owner, {KEY: state.packed().get(KEY)})


def _put(state: ConnectionState, packed: bytes | None) -> None:
    if packed is None:
        state.pop(KEY, None)
        return
    try:
        state[KEY] = packed
    except MessageTooLarge as error:
        raise MessageTooLarge(_WHAT, error.size, error.limit) from None


class ChannelSessionStore(SessionBase):
    """A connection's session, with the interface of Django's session stores.

    Its key is that of the connection: nothing changes it. Loading waits until somebody looks.

    Parameters:
        place: where it is kept.
    """

    _session_cache: dict[str, Any]

    def __init__(self, place: Place) -> None:
        # Django's own looks up the serializer, which many messages never need.
        self.place = place
        self.accessed = False
        self.modified = False

    @property
    def serializer(self) -> Any:
        """The class that `SESSION_SERIALIZER` names."""
        return _imported(settings.SESSION_SERIALIZER)

    @property
    def session_key(self) -> str:
        """The key of the connection: no secret, it tells sessions apart as it always has."""
        return session_key_for(self.place.reply_channel)

    @property
    def _session_key(self) -> str:
        return self.session_key

    @_session_key.setter
    def _session_key(self, value: str | None) -> None:
        """Keep the key: Django's `flush` takes a session's key away, a connection's stays."""

    def _get_session(self, no_load: bool = False) -> dict[str, Any]:  # noqa: FBT001, FBT002  Django's signature
        """Return the data. Django's own makes the key first, which takes as long as reading a small session."""
        self.accessed = True
        try:
            return self._session_cache
        except AttributeError:
            self._session_cache = {} if no_load else self.load()
            return self._session_cache

    _session = property(_get_session)

    @property
    def unread(self) -> bytes | None:
        """What is kept, while nobody has looked at it and it is at hand."""
        return self.place.read() if not self.accessed and type(self.place) is OwnState else None

    def is_empty(self) -> bool:
        """Say whether there is nothing in it."""
        return not self._get_session()

    def exists(self, session_key: str) -> bool:
        """Say whether something is stored under the key; nothing is under any other than the connection's."""
        return session_key == self.session_key and self.place.read() is not None

    async def aexists(self, session_key: str) -> bool:
        """Do as `exists`."""
        return session_key == self.session_key and await self.place.aread() is not None

    def load(self) -> dict[str, Any]:
        """Return what is stored."""
        return self._unpack(self.place.read())

    async def aload(self) -> dict[str, Any]:
        """Do as `load`."""
        return self._unpack(await self.place.aread())

    def save(self, must_create: bool = False) -> None:  # noqa: FBT001, FBT002  Django's signature
        """Store the session. An empty one is not stored, and what was stored of it goes.

        Raises:
            CreateError: `must_create`, and one is stored.
            MessageTooLarge: with it the connection's state would be above its limit; what was stored stays.
        """
        if must_create and self.exists(self.session_key):
            raise CreateError
        self.place.write(self._pack(self._get_session(no_load=must_create)))

    async def asave(self, must_create: bool = False) -> None:  # noqa: FBT001, FBT002  Django's signature
        """Do as `save`."""
        if must_create and await self.aexists(self.session_key):
            raise CreateError
        await self.place.awrite(self._pack(await self._aget_session(no_load=must_create)))  # type: ignore[attr-defined]

    def delete(self, session_key: str | None = None) -> None:
        """Remove what is stored. Another session's key removes nothing."""
        if session_key in (None, self.session_key):
            self.place.write(None)

    async def adelete(self, session_key: str | None = None) -> None:
        """Do as `delete`."""
        if session_key in (None, self.session_key):
            await self.place.awrite(None)

    def create(self) -> None:
        """Begin a new session: empty, under the same key."""
        self.clear()
        self.delete()

    async def acreate(self) -> None:
        """Do as `create`."""
        self.clear()
        await self.adelete()

    def cycle_key(self) -> None:
        """Keep data and key: nobody knows the key who does not hold the connection."""
        self.modified = True

    async def acycle_key(self) -> None:
        """Do as `cycle_key`."""
        self.modified = True

    @classmethod
    def clear_expired(cls) -> None:
        """Do nothing: a session ends with its connection."""

    @classmethod
    async def aclear_expired(cls) -> None:
        """Do nothing, as `clear_expired`."""

    def _pack(self, data: dict[str, Any]) -> bytes | None:
        packed: bytes = self.serializer().dumps(data)
        return packed if data else None

    def _unpack(self, packed: bytes | None) -> dict[str, Any]:
        if packed is None:
            return {}
        try:
            data: dict[str, Any] = self.serializer().loads(packed)
        except Exception:  # noqa: BLE001  whatever a serializer raises
            # As Django's stores: SESSION_SERIALIZER was changed, say. The connection goes on with an empty session.
            logger.warning("the session of %s cannot be read, so it is empty now", self.place.reply_channel)
            return {}
        return data
