"""A real server and a real worker on one layer, in this process: what a client's socket sees of consumers."""

import asyncio
import contextlib
import threading
from collections.abc import Iterator

from fairway.layers.memory import MemoryLayer
from fairway.server import Server
from fairway.server.config import ServerConfig
from fairway.worker.contract import Application
from fairway.worker.loop import Worker


@contextlib.contextmanager
def serving(layer: MemoryLayer, application: Application, threads: int = 4) -> Iterator[int]:
    """Run both; the port is what clients connect to."""
    server = Server(ServerConfig(binds=["127.0.0.1:0"]), layer)
    worker = Worker(layer, application, threads=threads)
    loop = asyncio.new_event_loop()
    loop.run_until_complete(server.start())
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    worker.start()
    try:
        yield server.bound[0][1]
    finally:
        # The server first: the worker is to consume that the sockets are closed.
        asyncio.run_coroutine_threadsafe(server.stop(), loop).result(10)
        worker.stop(5)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()
