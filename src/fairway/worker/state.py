"""Connection state: a small dict that the server keeps for a connection and hands over with each of its messages.

It travels packed, key by key, and a key is unpacked when it is read; a consumer that does not look at the state pays
nothing for it. What a consumer changes goes back as one effect when it ends. Changes merge by key: two messages of
one connection never run at the same time, and other writers overwrite only the keys they set.
"""

from collections.abc import Iterator, MutableMapping
from typing import Any

from fairway.errors import MessageTooLarge
from fairway.layers.codec import pack_value, unpack_value
from fairway.limits import MessageLimits

LIMIT = MessageLimits().state


class ConnectionState(MutableMapping[str, Any]):
    """The state of one connection, as one consumer run sees it.

    A list or dict may be changed in place; that is noticed when the run ends.

    Parameters:
        owner: the reply channel of the connection.
        packed: what the server handed over.
        limit: bytes in all, packed.
    """

    __slots__ = ("_is_touched", "_limit", "_packed", "_saved", "_values", "owner")

    def __init__(self, owner: str, packed: dict[str, bytes] | None = None, limit: int = LIMIT) -> None:
        self.owner = owner
        self._saved = packed or {}
        self._packed = dict(self._saved)
        self._values: dict[str, Any] = {}
        self._limit = limit
        self._is_touched = False

    def __getitem__(self, key: str) -> Any:
        """Return a value; unpacked once, so that the same list or dict comes back each time."""
        if key not in self._values:
            self._values[key] = unpack_value(self._packed[key])
        return self._values[key]

    def __setitem__(self, key: str, value: Any) -> None:
        """Set a value.

        Raises:
            InvalidMessage: the value cannot travel.
            MessageTooLarge: all state together would be above the limit.
        """
        if not isinstance(key, str):
            msg = f"the keys of a connection's state are str, not {type(key).__name__}: {key!r}"
            raise TypeError(msg)
        self._store(key, pack_value(value, key))
        self._values[key] = value

    def __delitem__(self, key: str) -> None:
        """Remove a key."""
        del self._packed[key]
        self._is_touched = True
        self._values.pop(key, None)

    def __iter__(self) -> Iterator[str]:
        """Iterate over the keys."""
        return iter(self._packed)

    def __len__(self) -> int:
        """Return the number of keys."""
        return len(self._packed)

    def __repr__(self) -> str:
        """Show the keys only: values may be secrets."""
        return f"<ConnectionState of {', '.join(self) or 'nothing'}>"

    def packed(self) -> dict[str, bytes]:
        """Return everything as it stands now, packed per key. Raises as setting a value does."""
        for key, value in self._values.items():
            if isinstance(value, list | dict):
                self._store(key, pack_value(value, key))
        return dict(self._packed)

    def changes(self) -> dict[str, bytes | None]:
        """Return what differs from what the server handed over; None stands for a removed key. Raises as `packed`."""
        if not self._is_touched and not any(isinstance(value, list | dict) for value in self._values.values()):
            return {}
        now = self.packed()
        changes: dict[str, bytes | None] = {key: value for key, value in now.items() if self._saved.get(key) != value}
        changes.update((key, None) for key in self._saved if key not in now)
        return changes

    def _store(self, key: str, packed: bytes) -> None:
        before = self._packed.get(key)
        if packed == before:
            return
        self._packed[key] = packed
        self._is_touched = True
        size = sum(len(name) + len(value) for name, value in self._packed.items())
        if size > self._limit:
            if before is None:
                del self._packed[key]
            else:
                self._packed[key] = before
            what = f"connection state (while {key!r} was set)"
            raise MessageTooLarge(what, size, self._limit)
