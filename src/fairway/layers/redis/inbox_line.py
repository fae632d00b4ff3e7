"""Connections of an inbox on its event loop: nothing waits, and everything of one turn of the loop is one write."""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any

from fairway.errors import LayerUnavailable
from fairway.layers.redis.commands import Command
from fairway.layers.redis.scripts import scripts
from fairway.layers.redis.shards import Shards
from fairway.layers.redis.wire import Reply, Wire, pack

UNSENT = 64 * 1024 * 1024
"""Bytes that wait for a Redis which does not read. Beyond it the line is cut: it is as good as lost."""

BLOCK = 4.0
"""Seconds after which a read that finds nothing is answered: a server that gives no answer is noticed by it."""

COUNT = 256
"""Entries in one reply: many items for one wake-up, and still a bound on what is in memory."""

OnReply = Callable[[Reply], None]


class InboxLine:
    """One connection.

    Parameters:
        loop: the inbox's.
        wire: it belongs to the line from now on.
        on_reply: called for each reply.
        on_lost: called once with the reason, unless the line has been let go before.
    """

    def __init__(
        self, loop: asyncio.AbstractEventLoop, wire: Wire, on_reply: OnReply, on_lost: Callable[[str], None]
    ) -> None:
        self.wire = wire
        self._loop = loop
        self._on_reply = on_reply
        self._on_lost = on_lost
        self._unsent: deque[memoryview] = deque()
        self._size = 0
        self._is_open = True
        loop.add_reader(wire.fileno(), self._receive)

    def write(self, data: bytes) -> None:
        """Write bytes, what there is no room for as soon as there is. A server that has stopped reading is given up."""
        rest = memoryview(data)
        if not self._unsent:
            try:
                rest = rest[self.wire.send(data) :]
            except LayerUnavailable as error:
                self.lose(error)
                return
            if not rest:
                return
            self._loop.add_writer(self.wire.fileno(), self._write_rest)
        elif self._size > UNSENT:
            self.lose("it has stopped reading")
            return
        self._unsent.append(rest)
        self._size += len(rest)

    def _write_rest(self) -> None:
        try:
            while self._unsent:
                first = self._unsent[0]
                sent = self.wire.send(first)
                self._size -= sent
                if sent < len(first):
                    self._unsent[0] = first[sent:]
                    return
                self._unsent.popleft()
        except LayerUnavailable as error:
            self.lose(error)
            return
        self._loop.remove_writer(self.wire.fileno())

    def _receive(self) -> None:
        try:
            replies = self.wire.receive()
        except LayerUnavailable as error:
            self.lose(error)
            return
        for reply in replies:
            if not self._is_open:  # let go because of what an earlier one said
                return
            self._on_reply(reply)

    def lose(self, reason: LayerUnavailable | str) -> None:
        """Take the line for lost."""
        if self._is_open:
            self.close()
            self._on_lost(str(reason).removeprefix(f"Redis at {self.wire.node} "))

    def lose_if_silent(self, patience: float) -> None:
        """Take the line for lost if the server has not answered for so many seconds."""
        raise NotImplementedError

    def let_go(self) -> list[memoryview]:
        """Leave the connection to somebody else; return what is not sent."""
        self._is_open = False
        unsent = list(self._unsent)
        self._unsent.clear()
        if not self._loop.is_closed() and self.wire.fileno() >= 0:
            self._loop.remove_reader(self.wire.fileno())
            self._loop.remove_writer(self.wire.fileno())
        return unsent

    def close(self) -> None:
        """Hang up."""
        if self._is_open:
            self.let_go()
            self.wire.close()


class CommandLine(InboxLine):
    """The commands of an inbox for one server. They are gathered, and written once in each turn of the loop."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, wire: Wire, shards: Shards, on_lost: Callable[[str], None]
    ) -> None:
        super().__init__(loop, wire, self._take, on_lost)
        self._shards = shards
        self._outgoing: list[bytes] = []
        self._awaited: deque[OnReply] = deque()
        self._quiet_since = 0.0
        """When the last reply came, or when the first command was written after all had been answered."""

    def add(self, packed: bytes, on_reply: OnReply) -> None:
        """Have a packed command written with the rest of this turn."""
        self._outgoing.append(packed)
        self._awaited.append(on_reply)

    def call(self, command: Command, on_reply: OnReply) -> None:
        """Have a script called with the rest of this turn."""
        self.add(pack_call(self._shards, command), on_reply)

    def flush(self) -> None:
        """Write what was gathered."""
        if self._outgoing and self._is_open:
            if len(self._awaited) == len(self._outgoing):
                self._quiet_since = self._loop.time()
            data = b"".join(self._outgoing)
            self._outgoing.clear()
            self.write(data)

    def _take(self, reply: Reply) -> None:
        self._quiet_since = self._loop.time()
        self._awaited.popleft()(reply)

    def lose_if_silent(self, patience: float) -> None:
        """See `InboxLine.lose_if_silent`."""
        if self._awaited and self._loop.time() - self._quiet_since > patience:
            self.lose(f"it has given no answer for {patience:g} s")

    def take_back(self) -> tuple[bytes, int]:
        """Leave the connection to somebody else; return what is not sent, and how many replies are still to come."""
        unsent = b"".join(self.let_go()) + b"".join(self._outgoing)
        self._outgoing.clear()
        return unsent, len(self._awaited)


class MailLine(InboxLine):
    """The line on which the entries of one stream come.

    Parameters:
        key: the stream.
        on_entries: called with entries, each of them an id, and fields and values.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        wire: Wire,
        key: str,
        on_entries: Callable[[list[Any]], None],
        on_lost: Callable[[str], None],
    ) -> None:
        super().__init__(loop, wire, self._take, on_lost)
        self._key = key
        self._on_entries = on_entries
        self._armed_at = 0.0
        """When the read was asked for that is not answered yet; 0 for none."""
        self.position = b"0-0"
        """The id of the last entry that has come."""

    def read(self) -> None:
        """Ask for what comes next, unless that has been done."""
        if not self._armed_at and self._is_open:
            self._armed_at = self._loop.time()
            block = int(BLOCK * 1000)
            self.write(pack("XREAD", "COUNT", COUNT, "BLOCK", block, "STREAMS", self._key, self.position))

    def _take(self, reply: Reply) -> None:
        self._armed_at = 0.0
        if isinstance(reply, Exception):
            self.lose(f"it does not let us read: {reply}")
            return
        entries = reply[0][1] if reply else []
        if entries:
            self.position = entries[-1][0]
        self._on_entries(entries)

    def lose_if_silent(self, patience: float) -> None:
        """See `InboxLine.lose_if_silent`; the seconds count from when the server was to answer."""
        if self._armed_at and self._loop.time() - self._armed_at > BLOCK + patience:
            self.lose(f"it has given no answer for {BLOCK + patience:g} s")


def pack_call(shards: Shards, command: Command) -> bytes:
    """Return the call of a script as it travels."""
    script = scripts()[command.script]
    return pack("EVALSHA", script.sha, 1, shards.base(command.shard), *command.arguments)
