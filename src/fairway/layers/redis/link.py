"""The connections of a layer at a time: to each server a pipe for commands, and mail where streams of it are read.

A link is made once, and given up as a whole when one of its connections breaks. What it needs done about that, it
raises: `line` gives it up, and makes the next.
"""

import contextlib
import select
import socket
import threading
from collections.abc import Callable, Sequence

from msgspec import Struct

from fairway.layers.redis.address import Kind, Node
from fairway.layers.redis.mail import Mail, OnEntry
from fairway.layers.redis.nodes import Nodes
from fairway.layers.redis.pipe import OnReply, Pipe
from fairway.layers.redis.scripts import scripts
from fairway.layers.redis.shards import Shards
from fairway.layers.redis.wire import Reply, ReplyError, Wire, pack, unavailable

CONNECT_TIMEOUT = 2.0


class Request(Struct, gc=False):
    """A command ready to be sent."""

    shard: str
    data: bytes
    on_reply: OnReply


class Link:
    """The connections to all servers. Threads may share it; one of them reads.

    Parameters:
        nodes: the servers.
        shards: what the shards are called.
        on_broken: called with the link and the reason, from a thread of its own, when a connection breaks.
    """

    def __init__(self, nodes: Nodes, shards: Shards, on_broken: "Callable[[Link, str], None]") -> None:
        self._nodes = nodes
        self._shards = shards
        self._on_broken = on_broken
        self._pipes: dict[Node, Pipe] = {}
        self._mails: dict[str, Mail] = {}
        """Shard, in a Cluster; "" where one `XREAD` may name them all -> its streams."""
        self._poll = select.poll()
        self._ends: dict[int, Pipe | Mail] = {}
        self._homes: dict[str, Node] = {}
        """Shard -> server."""
        self._opening = threading.Lock()
        self._adding = threading.Lock()
        self._is_over = False

    # --- making it, and letting it go --------------------------------------------------------------------------------

    def open(self) -> None:
        """Connect to all masters.

        Raises:
            LayerUnavailable: one of them cannot be reached, or refuses; no connection is left.
        """
        try:
            for node in self._nodes.masters:
                self._meet(node)
        except BaseException:
            self.close()
            raise

    def _meet(self, node: Node) -> None:
        wire = self._nodes.connect(node, timeout=CONNECT_TIMEOUT)
        try:
            _load_scripts(wire)
        except BaseException:
            wire.close()
            raise
        self._pipes[node] = pipe = Pipe(wire, lambda reason: self._on_broken(self, reason))
        self._add(pipe)

    def _add(self, end: Pipe | Mail) -> None:
        """Read one more connection."""
        with self._adding:
            if self._is_over:  # it was given up while this connection was made
                end.close()
                raise unavailable(end.wire.node, "was given up")
            number = end.wire.fileno()
            self._ends[number] = end
            self._poll.register(number, select.POLLIN)

    def hang_up(self) -> None:
        """Wake whoever waits here. The sockets are closed later: their numbers are used again."""
        with self._adding:
            self._is_over = True
            for end in self._ends.values():
                with contextlib.suppress(OSError):
                    socket.socket.shutdown(end.wire.socket, socket.SHUT_RDWR)

    def close(self) -> None:
        """Let go of the sockets."""
        with self._adding:
            self._is_over = True
            for end in self._ends.values():
                end.close()

    def silent(self, now: float) -> Node | None:
        """Return a server that owes us an answer for too long."""
        for end in tuple(self._ends.values()):
            if end.is_silent(now):
                return end.wire.node
        return None

    # --- writing -----------------------------------------------------------------------------------------------------

    def send(self, requests: Sequence[Request]) -> Sequence[Pipe]:
        """Write requests, each to the server of its shard; return the pipes they went to.

        Raises:
            LayerUnavailable: a connection is lost, or a shard is where we have no connection.
        """
        if len(self._pipes) == 1:
            (pipe,) = self._pipes.values()
            pipe.send(b"".join([request.data for request in requests]), [request.on_reply for request in requests])
            return (pipe,)
        parts: dict[Pipe, list[Request]] = {}
        for request in requests:
            parts.setdefault(self._pipe(request.shard), []).append(request)
        for pipe, part in parts.items():
            pipe.send(b"".join([one.data for one in part]), [one.on_reply for one in part])
        return list(parts)

    def _home(self, shard: str) -> Node:
        node = self._homes.get(shard)
        if node is None:
            node = self._homes[shard] = self._nodes.node_of(self._shards.base(shard))
        return node

    def _pipe(self, shard: str) -> Pipe:
        node = self._home(shard)
        pipe = self._pipes.get(node)
        if pipe is None:  # the masters have changed since the connections were made
            raise unavailable(node, f"has the shard {shard!r} now")
        return pipe

    def nudge(self) -> None:
        """Have Redis send something, so that the thread that reads looks up.

        Raises:
            LayerUnavailable: the connection is lost.
        """
        next(iter(self._pipes.values())).send(pack("PING"), [None])

    # --- reading -----------------------------------------------------------------------------------------------------

    def watch(self, shard: str, key: str, on_entry: OnEntry) -> None:
        """Read a stream of a shard from its beginning.

        Raises:
            LayerUnavailable: a connection is lost, or cannot be made.
        """
        mail = self._mail(shard)
        if mail.watch(key, on_entry):
            self._unblock(shard, mail)

    def unwatch(self, shard: str, key: str) -> None:
        """Read a stream no more."""
        mail = self._mails.get(self._mail_name(shard))
        if mail:
            mail.forget(key)

    def _mail_name(self, shard: str) -> str:
        """Return under what the streams of a shard are read: in a Cluster one `XREAD` may not name two slots."""
        return shard if self._nodes.address.kind is Kind.CLUSTER else ""

    def _mail(self, shard: str) -> Mail:
        """Return what reads the streams of a shard."""
        name = self._mail_name(shard)
        with self._opening:
            mail = self._mails.get(name)
            if mail is None:
                wire = self._nodes.connect(self._home(shard), timeout=CONNECT_TIMEOUT)
                try:
                    mail = Mail(wire, CONNECT_TIMEOUT)
                except BaseException:
                    wire.close()
                    raise
                self._add(mail)
                self._mails[name] = mail
                self.nudge()  # the thread that reads does not know it yet
        return mail

    def _unblock(self, shard: str, mail: Mail) -> None:
        """End an `XREAD` early; again while it has not reached the server, since it goes over another connection."""

        def look(reply: Reply) -> None:
            if isinstance(reply, ReplyError):
                reason = f"does not let us end an XREAD: {reply}; its user needs +client|unblock"
                raise unavailable(mail.wire.node, reason)
            if reply == 0 and mail.is_stale:
                self._unblock(shard, mail)

        self._pipe(shard).send(pack("CLIENT", "UNBLOCK", mail.client_id), [look])

    def receive(self, timeout: float | None) -> None:
        """Wait until something has come, and give it to whoever it is for.

        Raises:
            LayerUnavailable: a connection is lost.
        """
        for number, _ in self._poll.poll(None if timeout is None else max(0.0, timeout) * 1000):
            self._ends[number].receive()


def _load_scripts(wire: Wire) -> None:
    loads = [pack("SCRIPT", "LOAD", script.source) for script in scripts().values()]
    for reply in wire.ask(*loads, timeout=CONNECT_TIMEOUT):
        if isinstance(reply, ReplyError):
            raise unavailable(wire.node, f"does not take our scripts: {reply}")
