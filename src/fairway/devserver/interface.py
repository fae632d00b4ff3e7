"""The interface of a development server: what holds the sockets, and opens the broker to other processes.

`Backing` says what carries the messages: the layer itself where it lives in this process or elsewhere; where it is a
hub's (`LocalLayer`), this process is that hub, so that `manage.py shell` and workers of their own reach it.
"""

import asyncio
import contextlib
import sys
import tempfile
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING

from fairway.devserver.config import GRACE
from fairway.errors import CannotListen, InvalidLayerSetting, LayerUnavailable
from fairway.layers.base import Layer
from fairway.layers.hub.address import HubAddress
from fairway.layers.memory import MemoryLayer
from fairway.layers.registry import make_upstream
from fairway.server import Server, new_event_loop
from fairway.server.config import ServerConfig

if TYPE_CHECKING:
    from fairway.layers.hub.client import LocalLayer
    from fairway.layers.hub.server import HubServer

HAS_HUB = sys.platform != "win32"
"""A hub needs Unix sockets and file locks."""


@dataclass(frozen=True, kw_only=True)
class Backing:
    """The layer of an interface server, and where its broker is opened to other processes; None for nowhere."""

    layer: Layer
    address: HubAddress | None = None


def back(layer: Layer) -> Backing:
    """Return what stands behind a server that uses the layer of a setting."""
    if HAS_HUB:
        from fairway.layers.hub.client import LocalLayer

        if isinstance(layer, LocalLayer):
            return Backing(layer=_hosted(layer), address=layer.address)
    return Backing(layer=layer)


def _hosted(layer: "LocalLayer") -> Layer:
    """Return the layer of the process that is the hub."""
    if not layer.address.upstream:
        return MemoryLayer(message_limits=layer.message_limits)
    from fairway.layers.hub.joined.layer import JoinedLayer

    return JoinedLayer(make_upstream(layer.address.upstream), message_limits=layer.message_limits)


def private_folder() -> "tempfile.TemporaryDirectory[str]":
    """Make a folder that only this user can enter, with a name short enough for a hub's socket in it."""
    folder = _temporary_folder()
    try:
        private_address(folder.name)
    except InvalidLayerSetting:
        folder.cleanup()
        return _temporary_folder("/tmp")  # noqa: S108  mkdtemp makes it safe
    return folder


def _temporary_folder(where: str | None = None) -> "tempfile.TemporaryDirectory[str]":
    return tempfile.TemporaryDirectory(prefix="fairway-", dir=where, ignore_cleanup_errors=True)


def private_address(folder: str) -> HubAddress:
    """Return the address of a hub in a private folder.

    Raises:
        InvalidLayerSetting: the path is too long for a socket.
    """
    return HubAddress(path=str(Path(folder) / "hub.sock"))


class Interface:
    """A server and its hub, on the running event loop.

    Parameters:
        config: where to listen, and everything else.
        backing: what carries the messages.
    """

    def __init__(self, config: ServerConfig, backing: Backing) -> None:
        self._backing = backing
        self._server = Server(config, backing.layer)
        self._hub: HubServer | None = None

    async def start(self) -> int:
        """Listen; return the port.

        Raises:
            OSError: the address cannot be bound, or the hub cannot be opened.
        """
        await self._server.start()
        try:
            await self._open_hub()
        except BaseException:
            await self._server.stop()
            raise
        return self._server.bound[0][1]

    async def _open_hub(self) -> None:
        address, layer = self._backing.address, self._backing.layer
        if address is None or not isinstance(layer, MemoryLayer):
            return
        from fairway.layers.hub.server import HubServer

        hub = HubServer(layer, address)
        try:
            await hub.start()
        except (LayerUnavailable, InvalidLayerSetting) as error:
            remedy = "is a `fairway serve` or another runserver up? `runworker --reload` works for that one"
            raise CannotListen(address.url, f"{error} ({remedy})") from error
        self._hub = hub

    async def stop_serving(self, patience: float = GRACE) -> None:
        """Close the sockets, and let workers consume that they are closed; cut what is left after `patience`."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(patience):
                await self._server.stop()

    async def close(self) -> None:
        """Stop, if that has not been done, and close the hub."""
        await self.stop_serving()
        if self._hub:
            await self._hub.stop(0)


class InterfaceThread:
    """An interface on an event loop in a thread of its own."""

    def __init__(self, interface: Interface) -> None:
        self._interface = interface
        self._ended = asyncio.Event()
        self._port: Future[int] = Future()
        self._thread = Thread(target=self._run, name="fairway-interface", daemon=True)

    def start(self) -> int:
        """Start it; return the port.

        Raises:
            OSError: see `Interface.start`.
        """
        self._thread.start()
        return self._port.result()

    def stop_serving(self, patience: float) -> None:
        """See `Interface.stop_serving`."""
        asyncio.run_coroutine_threadsafe(self._interface.stop_serving(patience), self._loop).result()

    def close(self) -> None:
        """End everything."""
        self._loop.call_soon_threadsafe(self._ended.set)
        self._thread.join()

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=new_event_loop) as runner:
            self._loop = runner.get_loop()
            runner.run(self._serve())

    async def _serve(self) -> None:
        try:
            port = await self._interface.start()
        except BaseException as error:  # noqa: BLE001  raised where it was started
            self._port.set_exception(error)
            return
        self._port.set_result(port)
        await self._ended.wait()
        await self._interface.close()
