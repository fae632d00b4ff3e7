"""A process's connections to Redis as one line: commands out, replies and stream entries in. `turns` decides who reads.

For each server there is a pipe for commands and, beside it, the mail. When one connection breaks the line is lost as a
whole: what was held is another's, and all begins anew on new connections.
"""

import asyncio
import contextlib
import logging
import select
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from msgspec import Struct

from fairway.errors import LayerUnavailable
from fairway.layers.hub.line import FIRST_PAUSE, LONGEST_PAUSE, LineLost
from fairway.layers.redis.address import Kind, Node
from fairway.layers.redis.commands import Command
from fairway.layers.redis.mail import Mail, OnEntry
from fairway.layers.redis.nodes import Nodes
from fairway.layers.redis.operations import Await
from fairway.layers.redis.pipe import OnReply, Pipe
from fairway.layers.redis.scripts import scripts
from fairway.layers.redis.shards import Shards
from fairway.layers.redis.troubles import Trouble, trouble
from fairway.layers.redis.wire import ReplyError, pack, unavailable

logger = logging.getLogger("fairway.layer")

CONNECT_TIMEOUT = 2.0
STEADY = 5.0
"""Seconds that connections have to last for Redis to be called back, once they have broken in less."""

EARLY = 1_000
"""Answers that are kept though nobody waits for them yet; the oldest goes first."""

OnResult = Callable[[Any], None]


class Request(Struct, gc=False):
    """A command ready to be sent."""

    shard: str
    data: bytes
    on_reply: OnReply


class Callbacks(Struct, frozen=True):
    """What a line tells whoever it belongs to."""

    made: Callable[[], None]
    """There are new connections; nothing else is written to them before this has returned."""
    lost: Callable[[], None]
    """The line has broken; in any thread, and before it is made again."""
    due: Callable[[str, float], None]
    """In a shard something is due in so many seconds."""
    losses: Callable[[list[bytes]], None]
    """A script wants the log to tell this."""


class _Link:
    """The connections to all servers at a time."""

    def __init__(self) -> None:
        self.pipes: dict[Node, Pipe] = {}
        self.mails: dict[str, Mail] = {}
        """Shard, in a Cluster; "" where one `XREAD` may name them all -> its streams."""
        self.poll = select.poll()
        self.ends: dict[int, Pipe | Mail] = {}
        self.homes: dict[str, Node] = {}
        """Shard -> server."""
        self.opening = threading.Lock()

    def add(self, end: Pipe | Mail) -> None:
        """Read one more connection."""
        number = end.wire.socket.fileno()
        self.ends[number] = end
        self.poll.register(number, select.POLLIN)

    def hang_up(self) -> None:
        """Wake whoever waits here. The sockets are closed later: their numbers are used again."""
        for end in self.ends.values():
            with contextlib.suppress(OSError):
                socket.socket.shutdown(end.wire.socket, socket.SHUT_RDWR)

    def close(self) -> None:
        """Let go of the sockets."""
        for end in self.ends.values():
            end.close()


class RedisLine:
    """The connections of one layer, made again when they break.

    Parameters:
        nodes: the servers.
        shards: what the shards are called.
        client: what answers to this process are addressed to.
        tell: whoever the line belongs to.
    """

    def __init__(
        self,
        nodes: Nodes,
        shards: Shards,
        client: str,
        tell: Callbacks,
    ) -> None:
        self.nodes = nodes
        self.shards = shards
        self.client = client
        self.generation = 0
        self.closed = False
        self.arrived: list[Any] = []
        """What has come since the last `read`."""
        self._tell = tell
        self._link: _Link | None = None
        self._is_away = False
        self._away_since = 0.0
        self._attempts = 0
        self._failure = ""
        self._made_at = 0.0
        self._short_lives = 0
        """How often in a row connections have broken soon after they were made."""
        self._not_before = 0.0
        """When they may be made again."""
        self.start_anew()

    def start_anew(self) -> None:
        """Forget the connections: in a forked process they are the parent's."""
        self._link = None
        self._connecting = threading.RLock()
        self._posting = threading.Lock()
        self._posted: deque[tuple[list[Request], int]] = deque()
        self._closing = threading.Event()
        self._answers: dict[tuple[str, str], OnResult] = {}
        self._early: dict[tuple[str, str], bytes] = {}
        self._stale: list[_Link] = []
        if self.closed:
            self._closing.set()

    @property
    def is_up(self) -> bool:
        """Whether there are connections, as far as is known."""
        return self._link is not None

    # --- making it ---------------------------------------------------------------------------------------------------

    def deadline(self, wait: float) -> float:
        """Return until when a call that may wait for `wait` seconds waits: all together wait once for a lost line."""
        now = time.monotonic()
        return (self._away_since if self._away_since and self._link is None else now) + wait

    def ensure(self, wait: float) -> None:
        """Return when there are connections; try for `wait` seconds, and at least once.

        Raises:
            LayerUnavailable: Redis could not be reached.
        """
        deadline = time.monotonic() + wait
        pause = FIRST_PAUSE
        while self._link is None:
            try:
                self.connect()
            except LayerUnavailable:
                left = deadline - time.monotonic()
                if left <= 0 or self._closing.wait(min(pause, left)):
                    raise
                pause = min(LONGEST_PAUSE, pause * 2)

    def connect(self) -> None:
        """Make the connections, unless there are some. Who waits for another's attempt shares its result.

        Raises:
            LayerUnavailable: Redis cannot be reached, or refuses.
        """
        attempts = self._attempts
        with self._connecting:
            if self._link is not None:
                return
            if self.closed:
                msg = "the layer is closed"
                raise LayerUnavailable(msg)
            if self._attempts != attempts and self._failure:
                raise LayerUnavailable(self._failure)
            self._make()
        if self.closed:  # meanwhile
            self.lose(self._link, "closed")

    def _make(self) -> None:
        for stale in self._stale:
            stale.close()
        self._stale.clear()
        if time.monotonic() < self._not_before:
            raise LayerUnavailable(self._failure)
        link = _Link()
        try:
            if self.generation or not self.nodes.masters:
                self.nodes.refresh()
            for node in self.nodes.masters:
                self._meet(link, node)
        except LayerUnavailable as error:
            link.close()
            self._failure = str(error)
            self._away_since = self._away_since or time.monotonic()
            raise
        finally:
            self._attempts += 1
        if self._is_away and not self._short_lives:
            self._tell_back()
        self._away_since, self._failure = 0.0, ""
        self._made_at = time.monotonic()
        self.generation += 1
        self._link = link
        self._tell.made()

    def _tell_back(self) -> None:
        self._is_away = False
        logger.warning("Redis at %s is back", self.nodes.address)

    def _meet(self, link: _Link, node: Node) -> None:
        wire = self.nodes.connect(node, timeout=CONNECT_TIMEOUT)
        try:
            loads = [pack("SCRIPT", "LOAD", script.source) for script in scripts().values()]
            for reply in wire.ask(*loads, timeout=CONNECT_TIMEOUT):
                if isinstance(reply, ReplyError):
                    raise unavailable(node, f"does not take our scripts: {reply}")
        except LayerUnavailable:
            wire.close()
            raise
        pipe = link.pipes[node] = Pipe(wire, lambda reason: self.lose(link, reason))
        link.add(pipe)

    def lose(self, link: "_Link | None", reason: str) -> None:
        """Give the connections up, unless that has been done."""
        if link is None or self._link is not link:
            return
        with self._connecting:
            if self._link is not link:
                return
            self._link = None
            now = time.monotonic()
            lived = now - self._made_at
            is_news = not self.closed and (not self._is_away or lived > STEADY)
            self._is_away = True
            self._away_since = now
            self._hold_off(now, lived, reason)
            link.hang_up()
            self._stale.append(link)
            self._answers.clear()
            self._early.clear()
            self._tell.lost()
        if is_news:
            logger.warning("%s: trying again until it is back", reason)

    def _hold_off(self, now: float, lived: float, reason: str) -> None:
        """Take more and more time where Redis takes connections, and refuses what is said on them."""
        if lived > STEADY:
            self._short_lives = 0
            return
        self._short_lives += 1
        self._failure = reason
        self._not_before = now + min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** min(self._short_lives, 10))

    def drop(self, reason: str) -> None:
        """Give up whatever connections there are."""
        self.lose(self._link, reason)

    def look_for_silence(self) -> None:
        """Give the connections up if Redis owes us an answer for too long."""
        link, now = self._link, time.monotonic()
        if link is None:
            return
        if self._is_away and now - self._made_at > STEADY:
            self._tell_back()
        for end in tuple(link.ends.values()):
            if end.is_silent(now):
                self.lose(link, f"Redis at {end.wire.node} gives no answer")
                return

    def pause(self, seconds: float) -> bool:
        """Wait before the next attempt; return True when the line was closed meanwhile."""
        return self._closing.wait(seconds)

    def close(self) -> None:
        """End the line for good."""
        self.closed = True
        self._closing.set()
        self.lose(self._link, "closed")
        for stale in self._stale:
            stale.close()

    # --- writing -----------------------------------------------------------------------------------------------------

    def request(self, command: Command, on_result: OnResult | None = None) -> Request:
        """Return a command ready to be sent; `on_result` is called with its result, or a LayerUnavailable."""
        sha = scripts()[command.script].sha
        data = pack("EVALSHA", sha, 1, self.shards.base(command.shard), *command.arguments)
        return Request(command.shard, data, lambda reply: self._replied(command.shard, on_result, reply))

    def _replied(self, shard: str, on_result: OnResult | None, reply: Any) -> None:
        if isinstance(reply, ReplyError):
            failure = LayerUnavailable(f"Redis at {self.nodes.address} refuses: {reply}")
            if on_result:
                on_result(failure)
            if on_result is None or trouble(reply) not in (Trouble.FULL, Trouble.REFUSED, Trouble.BUG):
                raise failure
            return
        due, result, losses = reply
        if due >= 0:
            self._tell.due(shard, due / 1000)
        if losses:
            self._tell.losses(losses)
        if on_result:
            on_result(result)

    def write(self, requests: list[Request], generation: int = 0) -> None:
        """Write requests, and wait for room when much is unsent.

        Raises:
            LineLost: there is no such connection (any more).
        """
        if self._posted:
            self.write_posted()
        for pipe in self._send(requests, generation):
            pipe.wait_for_room()

    async def awrite(self, requests: list[Request], generation: int = 0) -> None:
        """Do as `write`; the event loop does not wait."""
        if self._posted:
            self.write_posted()
        for pipe in self._send(requests, generation):
            if pipe.is_crowded:
                await asyncio.to_thread(pipe.wait_for_room)

    def post(self, requests: list[Request]) -> None:
        """Have something written soon that is of no use any more once these connections are lost."""
        self._posted.append((requests, self.generation))

    def write_posted(self) -> None:
        """Write what was posted, in its order, without waiting for anybody."""
        while self._posted and self._posting.acquire(blocking=False):
            try:
                requests, generation = self._posted.popleft()
                self._send(requests, generation)
            except (IndexError, LineLost):
                pass  # another thread has written it, or nobody can
            finally:
                self._posting.release()

    def send_soon(self, requests: Sequence[Request]) -> None:
        """Send the next step of an operation: only over the connections on which the one before was answered."""
        self._send(requests, self.generation)

    def _send(self, requests: Sequence[Request], generation: int) -> Sequence[Pipe]:
        link = self._link
        if link is None or (generation and generation != self.generation):
            msg = f"there is no connection to Redis at {self.nodes.address}"
            raise LineLost(msg)
        try:
            if len(link.pipes) == 1:
                (pipe,) = link.pipes.values()
                pipe.send(b"".join([request.data for request in requests]), [request.on_reply for request in requests])
                return (pipe,)
            parts: dict[Node, list[Request]] = {}
            for request in requests:
                parts.setdefault(self._home(link, request.shard), []).append(request)
            for node, part in parts.items():
                link.pipes[node].send(b"".join([one.data for one in part]), [one.on_reply for one in part])
            return [link.pipes[node] for node in parts]
        except (LayerUnavailable, KeyError) as error:
            self.lose(link, str(error))
            raise LineLost(str(error)) from error

    def _home(self, link: _Link, shard: str) -> Node:
        node = link.homes.get(shard)
        if node is None:
            node = link.homes[shard] = self.nodes.node_of(self.shards.base(shard))
        return node

    # --- reading -----------------------------------------------------------------------------------------------------

    def watch(self, shard: str, key: str, on_entry: OnEntry) -> None:
        """Read a stream of a shard from its beginning, for as long as these connections last."""
        link = self._link
        if link is None:
            return
        try:
            mail = self._mail(link, shard)
            if mail.watch(key, on_entry):
                self._unblock(link, shard, mail)
        except LayerUnavailable as error:
            self.lose(link, str(error))

    def _mail(self, link: _Link, shard: str) -> Mail:
        """Return what reads the streams of a shard. In a Cluster one `XREAD` may not name two slots."""
        name = shard if self.nodes.address.kind is Kind.CLUSTER else ""
        with link.opening:
            mail = link.mails.get(name)
            if mail is None:
                wire = self.nodes.connect(self._home(link, shard), timeout=CONNECT_TIMEOUT)
                try:
                    mail = link.mails[name] = Mail(wire, CONNECT_TIMEOUT)
                except LayerUnavailable:
                    wire.close()
                    raise
                link.add(mail)
                self.nudge()  # the thread that reads does not know it yet
        return mail

    def _unblock(self, link: _Link, shard: str, mail: Mail) -> None:
        """End an `XREAD` early; again while it has not reached the server, since it goes over another connection."""

        def look(reply: Any) -> None:
            if reply == 0 and mail.is_stale:
                self._unblock(link, shard, mail)

        link.pipes[self._home(link, shard)].send(pack("CLIENT", "UNBLOCK", mail.client_id), [look])

    def unwatch(self, shard: str, key: str) -> None:
        """Read a stream no more."""
        link = self._link
        if link is None:
            return
        name = shard if self.nodes.address.kind is Kind.CLUSTER else ""
        mail = link.mails.get(name)
        if mail:
            mail.forget(key)

    def await_answer(self, awaited: Await, on_answer: OnResult) -> None:
        """Wait for the answer that a shard, or an owner, gives to a token."""
        shard, number = awaited.shard, awaited.token.rpartition("/")[2]
        if (shard, number) in self._early:
            on_answer(self._early.pop((shard, number)))
            return
        self._answers[shard, number] = on_answer

        def take(entry: bytes, fields: Sequence[bytes]) -> None:
            del entry
            for place in range(0, len(fields), 2):
                self._answered((shard, fields[place].decode()), fields[place + 1])

        self.watch(shard, self.shards.key(shard, f"a:{self.client}"), take)

    def _answered(self, token: tuple[str, str], answer: bytes) -> None:
        on_answer = self._answers.pop(token, None)
        if on_answer:
            on_answer(answer)
            return
        # It overtook, over the other connection, the reply that there is something to wait for; or nobody waits.
        self._early[token] = answer
        if len(self._early) > EARLY:
            del self._early[next(iter(self._early))]

    def read(self, timeout: float | None) -> list[Any]:
        """Return what has come, waiting for the next; nothing when the time is over, or the line broke."""
        link = self._link
        if link is None:
            return []
        if not self.arrived:
            try:
                ready = link.poll.poll(None if timeout is None else max(0.0, timeout) * 1000)
                for number, _ in ready:
                    link.ends[number].receive()
            except (LayerUnavailable, OSError) as error:
                self.lose(link, str(error))
        arrived, self.arrived = self.arrived, []
        return arrived

    def nudge(self) -> None:
        """Have Redis send something, so that the thread that reads looks up."""
        link = self._link
        if link is not None:
            try:
                next(iter(link.pipes.values())).send(pack("PING"), [None])
            except LayerUnavailable as error:
                self.lose(link, str(error))
