"""A hub for tests: in a thread with an event loop of its own, as it is in a process of its own elsewhere."""

import asyncio
import threading
from pathlib import Path
from types import TracebackType
from typing import Self

from fairway.layers.hub.address import HubAddress
from fairway.layers.hub.server import HubServer
from fairway.layers.memory import MemoryLayer
from fairway.limits import BrokerLimits
from fairway.wire.hub import VERSIONS

START_TIMEOUT = 10.0


class HubThread:
    """A running hub at `path`; `stop` ends it gently, and it can be started again."""

    def __init__(
        self, path: Path | str, limits: BrokerLimits | None = None, versions: tuple[int, int] = VERSIONS
    ) -> None:
        self.path = str(path)
        self._limits = limits
        self._versions = versions
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
            asyncio.run(self._serve())
        except BaseException as error:  # noqa: BLE001  told to whoever started it
            self._error = error
        finally:
            self._started.set()

    async def _serve(self) -> None:
        self.loop = asyncio.get_running_loop()
        self._end = asyncio.Event()
        self.layer = MemoryLayer(self._limits)
        self.hub = HubServer(self.layer, HubAddress(path=self.path), self._versions)
        await self.hub.start()
        self._started.set()
        try:
            await self._end.wait()
        finally:
            await self.hub.stop(0)
            self.layer.close()

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
