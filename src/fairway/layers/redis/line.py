"""A process's way to Redis: commands out, replies and stream entries in. `turns` decides who reads.

What is connected at a time is a `Link`. When one of its connections breaks the line is lost as a whole: what was held
is another's, and all begins anew on new connections.
"""

import asyncio
import contextlib
import logging
import secrets
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from msgspec import Struct

from fairway.errors import LayerUnavailable
from fairway.layers.hub.line import LineLost
from fairway.layers.hub.reaching import reach
from fairway.layers.redis.absence import Absence
from fairway.layers.redis.answers import Answers, OnAnswer
from fairway.layers.redis.commands import Command
from fairway.layers.redis.link import Link, Request
from fairway.layers.redis.mail import OnEntry
from fairway.layers.redis.nodes import Nodes
from fairway.layers.redis.operations import Await
from fairway.layers.redis.pipe import Pipe
from fairway.layers.redis.scripts import scripts
from fairway.layers.redis.shards import Shards
from fairway.layers.redis.troubles import Trouble, trouble
from fairway.layers.redis.wire import ReplyError, pack

logger = logging.getLogger("fairway.layer")

OnResult = Callable[[Any], None]


class Callbacks(Struct, frozen=True):
    """What a line tells whoever it belongs to."""

    made: Callable[[], None]
    """There are new connections. Other threads may write to them already: what is not to come first is kept back by
    whoever is called."""
    lost: Callable[[], None]
    """The line has broken; in any thread, and before it is made again."""
    due: Callable[[str, float], None]
    """In a shard something is due in so many seconds."""
    losses: Callable[[list[bytes]], None]
    """A script wants the log to tell this."""


class RedisLine:
    """The connections of one layer, made again when they break.

    Parameters:
        nodes: the servers.
        shards: what the shards are called.
        tell: whoever the line belongs to.
    """

    def __init__(self, nodes: Nodes, shards: Shards, tell: Callbacks) -> None:
        self.nodes = nodes
        self.shards = shards
        self.generation = 0
        self.closed = False
        self.arrived: list[Any] = []
        """What has come since the last `read`."""
        self._tell = tell
        self._link: Link | None = None
        self._attempts = 0
        self._absence = Absence(str(nodes.address))
        self.start_anew()

    def start_anew(self) -> None:
        """Forget the connections: in a forked process they are the parent's."""
        self.client = secrets.token_hex(6)
        """What answers to this process are addressed to."""
        self._link = None
        self._connecting = threading.RLock()
        self._writing = threading.RLock()
        self._posted: deque[tuple[list[Request], int]] = deque()
        self._closing = threading.Event()
        self._answers = Answers()
        self._stale: list[Link] = []
        if self.closed:
            self._closing.set()

    @property
    def is_up(self) -> bool:
        """Whether there are connections, as far as is known."""
        return self._link is not None

    # --- making it ---------------------------------------------------------------------------------------------------

    def deadline(self, wait: float) -> float:
        """Return until when a call that may wait for `wait` seconds waits: all together wait once for a lost line."""
        return (self._absence.since if self._link is None else time.monotonic()) + wait

    def ensure(self, wait: float) -> None:
        """Return when there are connections; try for `wait` seconds, and at least once.

        Raises:
            LayerUnavailable: Redis could not be reached.
        """
        reach(self, wait)

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
            if self._attempts != attempts and self._absence.failure:
                raise LayerUnavailable(self._absence.failure)
            self._make()
        if self.closed:  # meanwhile
            self.lose(self._link, "closed")

    def _make(self) -> None:
        for stale in self._stale:
            stale.close()
        self._stale.clear()
        self._absence.check()
        link = Link(self.nodes, self.shards, self.lose)
        try:
            if self.generation or not self.nodes.masters:
                self.nodes.refresh()
            link.open()
        except LayerUnavailable as error:
            self._absence.failed(str(error))
            raise
        finally:
            self._attempts += 1
        self._absence.made()
        self.generation += 1
        self._link = link
        self._tell.made()

    def lose(self, link: Link | None, reason: str) -> None:
        """Give the connections up, unless that has been done."""
        if link is None or self._link is not link:
            return
        with self._connecting:
            if self._link is not link:
                return
            self._link = None
            is_news = self._absence.lost(reason) and not self.closed
            link.hang_up()
            self._stale.append(link)
            self._answers.clear()
            self._tell.lost()
        if is_news:
            logger.warning("%s: trying again until it is back", reason)

    def drop(self, reason: str) -> None:
        """Give up whatever connections there are."""
        self.lose(self._link, reason)

    def look_for_silence(self) -> None:
        """Give the connections up if Redis owes us an answer for too long."""
        link, now = self._link, time.monotonic()
        if link is None:
            return
        self._absence.look_whether_it_lasts()
        node = link.silent(now)
        if node:
            self.lose(link, f"Redis at {node} gives no answer")

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
        for pipe in self._write(requests, generation):
            pipe.wait_for_room()

    async def awrite(self, requests: list[Request], generation: int = 0) -> None:
        """Do as `write`; the event loop does not wait."""
        for pipe in self._write(requests, generation):
            if pipe.is_crowded:
                await asyncio.to_thread(pipe.wait_for_room)

    def post(self, requests: list[Request]) -> None:
        """Have something written soon that is of no use any more once these connections are lost."""
        self._posted.append((requests, self.generation))

    def write_posted(self) -> None:
        """Write what was posted, in its order."""
        while self._posted:
            # Another thread may have written it, or nobody can.
            with self._writing, contextlib.suppress(IndexError, LineLost):
                self._send(*self._posted.popleft())

    def _write(self, requests: list[Request], generation: int) -> Sequence[Pipe]:
        """Write what was posted before, then this. No pipe makes anybody wait, so that a lock is held for a moment."""
        with self._writing:
            self.write_posted()
            return self._send(requests, generation)

    def send_soon(self, requests: Sequence[Request]) -> None:
        """Send the next step of an operation, and wait for nobody."""
        self._send(requests, 0)

    def _send(self, requests: Sequence[Request], generation: int) -> Sequence[Pipe]:
        link = self._link
        if link is None or (generation and generation != self.generation):
            msg = f"there is no connection to Redis at {self.nodes.address}"
            raise LineLost(msg)
        try:
            return link.send(requests)
        except LayerUnavailable as error:
            self.lose(link, str(error))
            raise LineLost(str(error)) from error

    # --- reading -----------------------------------------------------------------------------------------------------

    def watch(self, shard: str, key: str, on_entry: OnEntry) -> None:
        """Read a stream of a shard from its beginning, for as long as these connections last."""
        self._with_link(lambda link: link.watch(shard, key, on_entry))

    def unwatch(self, shard: str, key: str) -> None:
        """Read a stream no more."""
        self._with_link(lambda link: link.unwatch(shard, key))

    def nudge(self) -> None:
        """Have Redis send something, so that the thread that reads looks up."""
        self._with_link(Link.nudge)

    def _with_link(self, act: Callable[[Link], None]) -> None:
        link = self._link
        if link is not None:
            try:
                act(link)
            except LayerUnavailable as error:
                self.lose(link, str(error))

    def await_answer(self, awaited: Await, on_answer: OnAnswer) -> None:
        """Wait for the answer that a shard, or an owner, gives to a token."""
        shard = awaited.shard

        def take(entry: bytes, fields: Sequence[bytes]) -> None:
            del entry
            self._answers.take(shard, fields)

        if self._answers.expect(awaited, on_answer):
            self.watch(shard, self.shards.key(shard, f"a:{self.client}"), take)

    def forget_answer(self, awaited: Await) -> None:
        """Nobody waits for this answer any more."""
        self._answers.forget(awaited)

    def read(self, timeout: float | None, generation: int | None = None) -> list[Any]:
        """Return what has come, waiting for the next; nothing when the time is over, or the line broke."""
        link = self._link
        if link is None or generation not in (None, self.generation):
            return []  # who leads does not know of the new connections, and would drop what comes over them
        if not self.arrived:
            try:
                link.receive(timeout)
            except (LayerUnavailable, OSError) as error:
                self.lose(link, str(error))
            except Exception as error:
                # Nothing that was read goes under in silence: what is held comes again, at most as often as it may.
                logger.exception("what Redis at %s sent cannot be understood", self.nodes.address)
                self.lose(link, f"Redis at {self.nodes.address} sent what cannot be understood ({error})")
        arrived, self.arrived = self.arrived, []
        return arrived
