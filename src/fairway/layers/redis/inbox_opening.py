"""How an inbox comes by its connections and its prefixes, and how it gives them up: conversations that wait.

Whoever opens an inbox holds the first one; all others are held by threads of their own, so that no event loop waits.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol

import msgspec
from msgspec import Struct

from fairway.errors import LayerUnavailable
from fairway.layers.redis.address import Node
from fairway.layers.redis.commands import Command, Commands
from fairway.layers.redis.entries import place_of, size_of
from fairway.layers.redis.inbox_line import pack_call
from fairway.layers.redis.nodes import Nodes
from fairway.layers.redis.scripts import scripts
from fairway.layers.redis.shards import ROOT, Shards
from fairway.layers.redis.wire import Reply, ReplyError, Wire, pack

TIMEOUT = 5.0
"""Seconds that each step may take."""

ALIAS_LIFE = 60_000
"""Milliseconds for which the second prefixes of an owner are known without being told again."""


class InboxLayer(Protocol):
    """What an inbox knows of its layer."""

    nodes: Nodes
    on_renewed: Callable[[], None] | None

    @property
    def commands(self) -> Commands:
        """What builds its commands."""

    @property
    def shards(self) -> Shards:
        """What lives where."""

    def drop_inbox(self, inbox: Any) -> None:
        """Know an inbox no more."""

    def log_losses(self, losses: list[bytes]) -> None:
        """Tell the log of messages that ended without being consumed."""


class OwnedElsewhere(LayerUnavailable):
    """Another process owns the prefixes now."""


class Ownership(Struct):
    """What an owner is known by, and how far it has read."""

    owner: str
    """Random, the same for the whole life of an inbox."""
    turn: int = 0
    """Counts how often the prefixes were made its own: what is left of an older line is nobody's."""
    position: str = "0-0"
    has_left_groups: bool = False
    """Whether more groups were left than could be told: then none of what is known of our groups is right."""

    @property
    def incarnation(self) -> str:
        """What scripts know this turn by."""
        return f"{self.owner}.{self.turn}"


class Lines:
    """The connections of an inbox that owns its prefixes: one for commands to each server concerned, one to read.

    Attributes:
        incarnation: what we are known as.
        nodes: where each shard is, and each alias.
        left: the entries that had come before, and were not read.
        position: the id of the last one that had come, read or not.
        unacked: how many there are, read or not, since they are not acknowledged, and their size.
        is_known: whether Redis had kept what it knows of us.
        results: what the scripts of the opening said, with the shard of each.
    """

    def __init__(self, incarnation: str) -> None:
        self.incarnation = incarnation
        self.nodes: dict[str, Node] = {}
        self.wires: dict[Node, Wire] = {}
        self.mail: Wire | None = None
        self.left: list[tuple[bytes, list[bytes]]] = []
        self.position = b"0-0"
        self.unacked = 0, 0
        self.is_known = False
        self.results: list[tuple[str, Reply]] = []

    def take_mail(self) -> Wire:
        """Return the connection for reading."""
        assert self.mail  # noqa: S101
        return self.mail

    def take_over(self, entries: Sequence[tuple[bytes, list[bytes]]], position: str) -> None:
        """Go on with what lies in the inbox, where the last lines have read it up to a position."""
        if entries:
            self.left = [entry for entry in entries if place_of(entry[0]) > place_of(position.encode())]
            self.position = entries[-1][0]
            self.unacked = len(entries), sum(size_of(fields) for _, fields in entries)

    def close(self) -> None:
        """Hang up."""
        for wire in self.wires.values():
            wire.close()
        if self.mail:
            self.mail.close()


def open_lines(layer: InboxLayer, prefixes: Sequence[str], ownership: Ownership) -> Lines:
    """Connect, and own the prefixes: in the first turn whoever had them, later on unless somebody has taken them.

    Raises:
        OwnedElsewhere: somebody has.
        LayerUnavailable: Redis cannot be used now.
    """
    ownership.turn += 1
    lines = Lines(ownership.incarnation)
    try:
        _Opening(layer, prefixes, lines).run(ownership)
    except BaseException:
        lines.close()
        raise
    return lines


class _Opening:
    """One try to own the prefixes."""

    def __init__(self, layer: InboxLayer, prefixes: Sequence[str], lines: Lines) -> None:
        self._layer = layer
        self._commands = layer.commands
        self._shards = layer.shards
        self._prefixes = prefixes
        self._lines = lines

    def run(self, ownership: Ownership) -> None:
        is_first = ownership.turn == 1
        if not is_first:
            self._layer.nodes.refresh()
        self._connect()
        self._load()
        if not is_first:
            self._look(ownership)
        if not self._lines.is_known or ownership.has_left_groups:
            ownership.has_left_groups = False
            for prefix in self._prefixes:
                self._call(self._commands.forget(prefix))
        self._own(ownership)
        for prefix in self._prefixes[1:]:
            self._ask(prefix, pack_alias(self._shards, prefix, self._prefixes[0]))
        self._call([self._commands.operator(ROOT, "register", self._prefixes[0])])

    def _connect(self) -> None:
        nodes, lines = self._layer.nodes, self._lines
        for place in [*self._prefixes, *self._shards.common]:
            node = lines.nodes[place] = nodes.node_of(self._shards.base(place))
            if node not in lines.wires:
                lines.wires[node] = nodes.connect(node)
        lines.mail = nodes.connect(lines.nodes[self._prefixes[0]])

    def _load(self) -> None:
        """Make sure that the scripts are there."""
        known = list(scripts().values())
        for node in self._lines.wires:
            # A server that wants a password says so to a PING; what is longer it takes for an attack.
            there = self._ask_node(node, pack("PING"), pack("SCRIPT", "EXISTS", *(script.sha for script in known)))[1]
            missing = [script for script, is_there in zip(known, there, strict=True) if not is_there]
            if missing:
                self._ask_node(node, *(pack("SCRIPT", "LOAD", script.source) for script in missing))

    def _look(self, ownership: Ownership) -> None:
        """See who owns the prefixes: we still, nobody, or somebody else."""
        shard = self._prefixes[0]
        [found] = self._ask(shard, pack("GET", self._shards.key(shard, "state")))
        owner = owner_in(found)
        if not owner:
            return
        if owner.partition(".")[0] != ownership.owner:
            msg = f"Redis at {self._lines.nodes[shard]} has another owner for {shard!r}"
            raise OwnedElsewhere(msg)
        self._lines.is_known = True  # perhaps by a try of which we have not heard that it came through

    def _own(self, ownership: Ownership) -> None:
        """Own the prefixes. What had come for us stays, and is read in the same step: it is older than the rest."""
        shard = self._prefixes[0]
        own = self._commands.own(self._lines.incarnation, self._prefixes)
        if not self._lines.is_known:
            self._call([own])
            return
        left = pack("XRANGE", self._shards.key(shard, "in"), "-", "+")
        steps = [pack("MULTI"), left, pack_call(self._shards, own), pack("EXEC")]
        entries, reply = self._ask(shard, *steps)[-1]
        for part in (entries, reply):
            self._check(part, self._lines.nodes[shard])
        self._lines.take_over(entries, ownership.position)
        self._lines.results.append((shard, reply))

    def _call(self, commands: Iterable[Command]) -> None:
        for command in commands:
            [reply] = self._ask(command.shard, pack_call(self._shards, command))
            self._lines.results.append((command.shard, reply))

    def _ask(self, place: str, *packed: bytes) -> list[Reply]:
        return self._ask_node(self._lines.nodes[place], *packed)

    def _ask_node(self, node: Node, *packed: bytes) -> list[Reply]:
        replies = self._lines.wires[node].ask(*packed, timeout=TIMEOUT)
        for reply in replies:
            self._check(reply, node)
        return replies

    def _check(self, reply: Reply, node: Node) -> None:
        if isinstance(reply, ReplyError):
            msg = f"Redis at {node} does not let us own {self._prefixes[0]!r}: {reply}"
            raise LayerUnavailable(msg) from reply


class Parting:
    """What an inbox says at its end. `run` waits for Redis, and hangs up.

    Parameters:
        layer: the inbox's.
        prefixes: what it owns.
        lines: its connections, which nobody else uses any more.
    """

    def __init__(self, layer: InboxLayer, prefixes: Sequence[str], lines: Lines) -> None:
        self._layer = layer
        self._prefixes = prefixes
        self._lines = lines
        self.unsent: dict[Node, tuple[bytes, int]] = {}
        """What is to be written before anything else, and how many replies will come in all before ours."""

    def run(self) -> None:
        """Give the prefixes up, unless somebody else has them already; then nothing of theirs is touched."""
        try:
            commands, shard = self._layer.commands, self._prefixes[0]
            resign = commands.owner(shard, "resign", self._lines.incarnation)
            if self._result(shard, pack_call(self._layer.shards, resign)) == b"ok":
                self._clear_up(commands)
        except LayerUnavailable:
            pass  # Redis will find out by itself
        finally:
            self._lines.close()

    def _clear_up(self, commands: Commands) -> None:
        shards = self._layer.shards
        for prefix in self._prefixes:
            for command in commands.forget(prefix):
                self._result(command.shard, pack_call(shards, command))
        for prefix in self._prefixes[1:]:
            self._say(prefix, pack("DEL", shards.key(prefix, "alias")))
        # The shard stays registered: workers that come have to find what is in it still. The last one forgets it.

    def _result(self, place: str, packed: bytes) -> Any:
        reply = self._say(place, packed)
        return None if isinstance(reply, ReplyError) else reply[1]

    def _say(self, place: str, packed: bytes) -> Reply:
        node = self._lines.nodes[place]
        unsent, replies = self.unsent.pop(node, (b"", 0))
        reply: Reply = self._lines.wires[node].ask(unsent + packed, *[b""] * replies, timeout=TIMEOUT)[-1]
        return reply


def owner_in(state: bytes | None) -> str:
    """Return the incarnation that owns a shard, by what the shard keeps of itself; "" for nobody."""
    return str(msgspec.msgpack.decode(state)[0]) if state else ""


def pack_alias(shards: Shards, prefix: str, shard: str) -> bytes:
    """Return the command that says where the inbox of a second prefix is."""
    return pack("SET", shards.key(prefix, "alias"), shard, "PX", ALIAS_LIFE)
