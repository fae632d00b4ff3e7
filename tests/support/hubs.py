"""A hub for tests: in a thread with an event loop of its own, as it is in a process of its own elsewhere."""

import asyncio
import socket
import threading
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from fairway.layers.hub.address import HubAddress
from fairway.layers.hub.server import SILENCE, HubServer
from fairway.layers.memory import MemoryLayer
from fairway.limits import BrokerLimits
from fairway.wire.hub import FRAME_LIMIT, MAGIC, VERSIONS, Frame, FrameReader, FromHub, Hello, Welcome, pack

START_TIMEOUT = 10.0
ANSWER_TIMEOUT = 10.0

F = TypeVar("F", bound=Frame)


class HubThread:
    """A running hub at `path`; `stop` ends it gently, and it can be started again."""

    loop_factory: Callable[[], asyncio.AbstractEventLoop] | None = None

    def __init__(
        self,
        path: Path | str,
        limits: BrokerLimits | None = None,
        versions: tuple[int, int] = VERSIONS,
        silence: float = SILENCE,
    ) -> None:
        self.path = str(path)
        self._limits = limits
        self._versions = versions
        self._silence = silence
        self.layer: MemoryLayer
        self.hub: HubServer
        self.loop: asyncio.AbstractEventLoop
        self._error: BaseException | None = None
        self.start()

    def start(self) -> None:
        """Start it, with an empty memory."""
        self._started = threading.Event()
        self._thread = threading.Thread(target=self._run, name="hub", daemon=True)
        self._thread.start()
        assert self._started.wait(START_TIMEOUT)
        if self._error:
            raise self._error

    def _run(self) -> None:
        try:
            with asyncio.Runner(loop_factory=self.loop_factory) as runner:
                runner.run(self._serve())
        except BaseException as error:  # noqa: BLE001  told to whoever started it
            self._error = error
        finally:
            self._started.set()

    async def _serve(self) -> None:
        self.loop = asyncio.get_running_loop()
        self._end = asyncio.Event()
        self.layer = MemoryLayer(self._limits)
        self.hub = self.make_hub()
        await self.hub.start()
        self._started.set()
        try:
            await self._end.wait()
        finally:
            await self.hub.stop(0)
            self.layer.close()

    def make_hub(self) -> HubServer:
        """Return the hub of this process's layer."""
        return HubServer(self.layer, HubAddress(path=self.path), self._versions, silence=self._silence)

    def stop(self) -> None:
        """End it; all lines are cut."""
        if self._thread.is_alive():
            self.loop.call_soon_threadsafe(self._end.set)
            self._thread.join(START_TIMEOUT)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


class RawLine:
    """A client of a hub that is only a socket: it may say whatever a test wants."""

    def __init__(
        self, path: Path | str | tuple[str, int], *, greet: bool = True, versions: tuple[int, int] = VERSIONS
    ) -> None:
        is_tcp = isinstance(path, tuple)
        self.socket = socket.socket(socket.AF_INET if is_tcp else socket.AF_UNIX, socket.SOCK_STREAM)
        self.socket.connect(
            path if is_tcp else str(path)
        )  # with a timeout it would fail, not wait, while too many knock
        self.socket.settimeout(ANSWER_TIMEOUT)
        self._reader: FrameReader[Any] = FrameReader(FromHub, FRAME_LIMIT)
        self.unread: list[Any] = []
        if greet:
            self.say(Hello(MAGIC, *versions, "raw"))
            self.welcome = self.wait_for(Welcome)

    def say(self, *frames: Frame) -> None:
        """Send frames."""
        self.send(b"".join(map(pack, frames)))

    def send(self, data: bytes) -> None:
        """Send bytes, if anybody takes them."""
        self.socket.sendall(data)

    def wait_for(self, kind: type[F]) -> F:
        """Return the next frame of a kind, and forget those before it."""
        while True:
            while self.unread:
                frame = self.unread.pop(0)
                if isinstance(frame, kind):
                    return frame
            data = self.socket.recv(65536)
            assert data, f"the hub hung up before a {kind.__name__}"
            self.unread += self._reader.receive(data)

    def end(self) -> list[Any]:
        """Return all that comes until the hub hangs up."""
        found, self.unread = self.unread, []
        while data := self._receive():
            found += self._reader.receive(data)
        return found

    def _receive(self) -> bytes:
        try:
            return self.socket.recv(65536)
        except ConnectionError:
            return b""

    def close(self) -> None:
        """Hang up."""
        self.socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
