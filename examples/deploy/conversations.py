"""Many clients, each in a conversation: it says a number, hears the answer, and says the next one.

A conversation notices whatever a deploy must not do: close its socket, lose a message, answer out of order, or consume
a message twice, which the count in the connection's state would show.
"""

import asyncio
import json
import random
import time
from collections import Counter
from contextlib import AsyncExitStack

from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake

PATIENCE = 30
"""Seconds after which a message counts as lost."""

AT_ONCE = 50
"""Handshakes under way."""

AFTERWARDS = 0.5
"""Seconds that each conversation listens on when it is over: nothing more may come."""


class Tally:
    """What all conversations have seen."""

    def __init__(self):
        self.open = self.answered = self.repeated = 0
        self.closed = self.lost = self.disordered = self.doubled = 0
        self.by_worker = Counter()
        """(release, process) -> messages it has answered."""
        self.slowest = 0.0
        self.reason = ""
        """Why the first socket was closed."""

    def leave(self):
        self.open -= 1

    @property
    def faults(self):
        return self.closed + self.lost + self.disordered + self.doubled


class Conversations:
    """`size` conversations with a server, each about `rate` messages a second."""

    def __init__(self, url, size, rate):
        self.tally = Tally()
        self.is_over = False
        self._url = url
        self._pause = 1 / rate
        self._talking = size
        self._may_leave = asyncio.Event()
        self._handshakes = asyncio.Semaphore(AT_ONCE)
        self._tasks = [asyncio.create_task(self._converse()) for _ in range(size)]

    async def finish(self):
        """Let every conversation come to its end; the sockets stay open."""
        self.is_over = True
        while self._talking:
            await asyncio.sleep(0.1)

    async def leave(self):
        """Close the sockets."""
        self._may_leave.set()
        await asyncio.gather(*self._tasks)

    def cut(self):
        """End all conversations where they are."""
        for task in self._tasks:
            task.cancel()

    async def _converse(self):
        tally = self.tally
        async with AsyncExitStack() as stack:
            try:
                async with self._handshakes:
                    opening = connect(self._url, compression=None, ping_interval=None)
                    socket = await stack.enter_async_context(opening)
                tally.open += 1
                stack.callback(tally.leave)
                await self._talk(socket)
            except (ConnectionClosed, InvalidHandshake, OSError) as error:
                tally.closed += 1
                tally.reason = tally.reason or str(error)
                return
            finally:
                self._talking -= 1
            await self._may_leave.wait()

    async def _talk(self, socket):
        number = 0
        while not self.is_over:
            await asyncio.sleep(self._pause * random.uniform(0.5, 1.5))
            began = time.monotonic()
            await socket.send(json.dumps({"number": number}))
            try:
                async with asyncio.timeout(PATIENCE):
                    answer = json.loads(await socket.recv())
            except TimeoutError:
                self.tally.lost += 1
                return
            self._note(answer, number, time.monotonic() - began)
            number += 1
        try:
            async with asyncio.timeout(AFTERWARDS):
                await socket.recv()
            self.tally.doubled += 1
        except TimeoutError:
            pass

    def _note(self, answer, number, waited):
        tally = self.tally
        tally.answered += 1
        tally.repeated += answer["attempt"] > 1
        tally.disordered += answer["number"] != number
        tally.doubled += answer["count"] != number + 1
        tally.by_worker[answer["release"], answer["worker"]] += 1
        tally.slowest = max(tally.slowest, waited)
