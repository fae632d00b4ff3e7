"""A thousand clients in one thread, each with a conversation whose every answer is checked as it comes.

A client says a number, and now and then several at once; the project in tests/faults/site tells (`talk`) what has to
follow. What must never happen is counted, with the first few cases in words: `Swarm.faults` is empty when all is well.
"""

import asyncio
import contextlib
import json
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any, Self

import uvloop

from tests.faults.site import talk
from tests.support.waiting import await_until, wait_until

BURST = 3
"""Messages that a client sends ahead, now and then."""

MOST_FAULTS = 20
"""Faults that are kept in words; all are counted."""

_HEAD = (
    "GET {path} HTTP/1.1\r\nHost: test\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
_TEXT, _CLOSE, _PING, _PONG = 0x81, 0x88, 0x89, 0x8A


class Client(asyncio.Protocol):
    """One socket. Frames are masked with zeros, which RFC 6455 (5.3) leaves as they are."""

    def __init__(self, swarm: "Swarm", number: int) -> None:
        self._swarm = swarm
        self.number = number
        self._buffer = b""
        self._transport: Any = None
        self.is_open = False
        self.is_leaving = False
        self.said = 0
        self.answered = 0
        """Messages of which the last frame has come; so it is the number of the next one to be answered."""
        self._is_half = False
        self._said_at: dict[int, float] = {}
        self.untold: set[int] = set()
        """Numbers whose message through the channel `tally` has not come back."""
        self.forgiven: set[int] = set()
        """Of those, the ones that may stay away."""
        self._early: set[int] = set()
        """Numbers whose message has come back before the answer, and of which it has not come."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._swarm.open += 1
        self._transport.write(_HEAD.format(path=f"/talk/{self.number}").encode())

    def data_received(self, data: bytes) -> None:
        buffer = self._buffer + data
        if not self.is_open:
            head, end, buffer = buffer.partition(b"\r\n\r\n")
            if not end:
                self._buffer = head
                return
            if b" 101 " not in head[:20]:
                self._swarm.fault("refused", f"socket {self.number} got {head[:60]!r}")
                return
            self.is_open = True
            self._swarm.opened += 1
        at = 0
        while len(buffer) - at >= 2:
            size, begin = buffer[at + 1], at + 2
            if size == 126:
                size, begin = int.from_bytes(buffer[at + 2 : at + 4]), at + 4
            if len(buffer) < begin + size:
                break
            self._frame(buffer[at], buffer[begin : begin + size])
            at = begin + size
        self._buffer = buffer[at:]

    def connection_lost(self, exc: Exception | None) -> None:
        self._swarm.open -= 1
        if not self.is_leaving:
            self._swarm.fault("closed", f"socket {self.number} was closed after {self.answered} answers ({exc})")

    def leave(self) -> None:
        """Close, as a browser does."""
        self.is_leaving = True
        if self._transport and not self._transport.is_closing():
            self._transport.write(_frame(_CLOSE, b"\x03\xe8"))

    def abort(self) -> None:
        """Cut the connection."""
        if self._transport:
            self._transport.abort()

    # --- what it says ------------------------------------------------------------------------------------------------

    def plan(self) -> None:
        """Say something in a while."""
        if not self._swarm.is_quiet:
            pause = self._swarm.pause
            asyncio.get_running_loop().call_later(random.uniform(0.5, 1.5) * pause, self._speak)

    def _speak(self) -> None:
        if self._swarm.is_quiet or not self.is_open:
            return
        for _ in range(random.choice((1, 1, 1, BURST))):
            self._transport.write(_frame(_TEXT, str(self.said).encode()))
            self._said_at[self.said] = time.monotonic()
            self.said += 1

    # --- what it hears -----------------------------------------------------------------------------------------------

    def _frame(self, kind: int, payload: bytes) -> None:
        if kind == _PING:
            self._transport.write(_frame(_PONG, payload))
        elif kind == _CLOSE:
            if not self.is_leaving:
                self._swarm.fault("closed", f"socket {self.number}: {payload!r}")
            self.is_leaving = True
            self._transport.close()
        else:
            self._hear(json.loads(payload))

    def _hear(self, answer: dict[str, Any]) -> None:
        swarm = self._swarm
        if "room" in answer:
            swarm.room(self.number, *answer["room"])
        elif "tally" in answer:
            self._told(answer["tally"])
        elif answer["part"] == 1:
            self._first(answer)
        else:
            self._second(answer)

    def _told(self, number: int) -> None:
        if self._swarm.has_one_broker or number < self.answered + self._is_half or number in self._early:
            self._come_back(number)
        else:
            self._early.add(number)

    def _come_back(self, number: int) -> None:
        expected = self.untold if number in self.untold else self.forgiven
        if number not in expected:
            self._swarm.fault("twice", f"socket {self.number}: tally {number} came again")
        expected.discard(number)

    def _first(self, answer: dict[str, Any]) -> None:
        number = answer["number"]
        if number != self.answered or self._is_half:
            what = "half" if self._is_half else "order"
            self._swarm.fault(what, f"socket {self.number}: {answer} where {self.answered} was to be answered")
        if answer["handled"] != number:
            self._swarm.fault("state", f"socket {self.number}: {answer} has handled another number of messages")
        self._is_half = True
        if number in self._early:
            self._early.discard(number)
        elif not talk.tells_room(number):
            self.untold.add(number)

    def _second(self, answer: dict[str, Any]) -> None:
        swarm, number = self._swarm, answer["number"]
        if number != self.answered or not self._is_half:
            swarm.fault("half", f"socket {self.number}: {answer} without its first half")
        self._is_half = False
        self.answered = number + 1
        swarm.note_answer(answer, time.monotonic() - self._said_at.pop(number, 0.0))
        if talk.tells_room(number):
            swarm.unheard_by(self.number, number)
        if self.answered == self.said:
            self.plan()


def _frame(kind: int, payload: bytes) -> bytes:
    return bytes((kind, 0x80 | len(payload))) + b"\0\0\0\0" + payload


class Swarm:
    """Clients at a port. Use it in a `with`; its loop runs in a thread of its own.

    Parameters:
        port: of 127.0.0.1.
        size: how many clients; a multiple of `talk.ROOM`.
        pause: seconds, about, between an answer and the next message.
        first: the number of the first client; the number tells the room.
        others: more ports. Clients take them in turn, so that rooms are spread over all.
        has_one_broker: everything that a consumer sends leaves in one step; with several brokers, what goes to others
            leaves first, and may come back before the answer.
    """

    def __init__(
        self,
        port: int,
        size: int = 1000,
        pause: float = 1.0,
        first: int = 0,
        *,
        others: Sequence[int] = (),
        has_one_broker: bool = True,
    ) -> None:
        self.ports = [port, *others]
        self.has_one_broker = has_one_broker
        self.size = size
        self.pause = pause
        self.is_quiet = False
        self.open = 0
        """Connections at this moment."""
        self.opened = 0
        """Handshakes that were answered well."""
        self.answers = 0
        self.repeated = 0
        """Answers of a run whose `attempt` is above 1."""
        self.processes: Counter[int] = Counter()
        self.slowest = 0.0
        self._rooms: dict[tuple[int, int], set[int]] = {}
        """(socket, number) -> the sockets of its room that have not heard it."""
        self._forgiven: dict[tuple[int, int], set[int]] = {}
        self.counts: Counter[str] = Counter()
        self.faults: list[str] = []
        self.clients = [Client(self, number) for number in range(first, first + size)]
        self._loop = uvloop.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="swarm", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        try:
            self._call(self._open_all).result(60)
            wait_until(
                lambda: self.opened == self.size, lambda: f"the last handshakes; {self.text()} {self.faults}", 60
            )
            # Not before: who opens later is not told what a room hears earlier.
            self.speak()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.leave()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    def leave(self) -> None:
        """Close all sockets, as browsers do."""
        self._call(self._close_all).result(30)

    def _call(self, coroutine: Callable[[], Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine(), self._loop)

    async def _open_all(self) -> None:
        for client in self.clients:
            port = self.ports[client.number % len(self.ports)]
            await self._loop.create_connection(lambda client=client: client, "127.0.0.1", port)  # type: ignore[misc]

    async def _close_all(self) -> None:
        self.is_quiet = True
        for client in self.clients:
            client.leave()
        with contextlib.suppress(AssertionError):
            await await_until(lambda: not self.open)
        for client in self.clients:
            client.abort()
        await await_until(lambda: not self.open)

    # --- told by the clients -----------------------------------------------------------------------------------------

    def fault(self, what: str, text: str) -> None:
        """Note what must not happen."""
        self.counts[what] += 1
        if len(self.faults) < MOST_FAULTS:
            self.faults.append(f"{what}: {text}")

    def note_answer(self, answer: dict[str, Any], waited: float) -> None:
        """Count a message that is answered in full."""
        self.answers += 1
        self.repeated += answer["attempt"] > 1
        self.processes[answer["pid"]] += 1
        self.slowest = max(self.slowest, waited)

    def room(self, listener: int, socket: int, number: int) -> None:
        """Count a frame that came to the room of `socket`."""
        missing = self.unheard_by(socket, number)
        if listener not in missing:
            self.fault("twice", f"socket {listener}: room frame {number} of {socket} came again")
        missing.discard(listener)

    def unheard_by(self, socket: int, number: int) -> set[int]:
        """The sockets that have not heard what a socket told its room."""
        begin = socket - socket % talk.ROOM
        key = (socket, number)
        if key in self._forgiven:
            return self._forgiven[key]
        return self._rooms.setdefault(key, set(range(begin, begin + talk.ROOM)))

    # --- for the test ------------------------------------------------------------------------------------------------

    def wait_answers(self, more: int, deadline: float = 60) -> None:
        """Wait until so many more messages have been answered."""
        aim = self.answers + more
        wait_until(lambda: self.answers >= aim, lambda: f"{more} more answers; {self.text()}", deadline)

    def finish(self, deadline: float = 60) -> None:
        """Say nothing more, and wait until everything that was said is answered in full."""
        self.is_quiet = True
        wait_until(lambda: self.missing() == (0, 0, 0), lambda: f"the last answers; {self.text()}", deadline)

    def rest(self, deadline: float = 60) -> None:
        """Say nothing more, and wait until everything that was said is answered; what goes to others may be away."""
        self.is_quiet = True
        wait_until(lambda: not self.missing()[0], lambda: f"the last answers; {self.text()}", deadline)

    def forgive(self) -> None:
        """Expect no more what goes to others and has not come: a lost hub takes it with it. Called while at rest."""
        for client in self.clients:
            client.forgiven |= client.untold
            client.untold.clear()
        self._forgiven |= {key: missing for key, missing in self._rooms.items() if missing}
        self._rooms = {key: missing for key, missing in self._rooms.items() if not missing}

    def speak(self) -> None:
        """Go on after a rest."""
        self.is_quiet = False
        for client in self.clients:
            self._loop.call_soon_threadsafe(client.plan)

    def missing(self) -> tuple[int, int, int]:
        """Messages without answer, tallies that have not come, and room frames that have not come."""
        return (
            sum(client.said - client.answered for client in self.clients),
            sum(len(client.untold) for client in self.clients),
            sum(map(len, tuple(self._rooms.values()))),
        )

    def text(self) -> str:
        """The counts, for a person."""
        return (
            f"{self.opened} sockets, {self.answers} answers by {len(self.processes)} processes, "
            f"{self.repeated} repeated, slowest {self.slowest:.2f} s, "
            f"faults {dict(self.counts)}, missing {self.missing()}"
        )
