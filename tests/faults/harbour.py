"""A server with its layer, as `fairway serve` has them, with two limits that a long count wants otherwise.

Usage: harbour.py URL PORT SILENCE. A process is taken for dead after SILENCE seconds, and a message may be begun as
often as need be.
"""

import asyncio
import signal
import sys

from fairway.server import Server, ServerConfig, new_event_loop
from tests.support.berths import host


async def serve(url: str, port: str, silence: float) -> None:
    """Serve until SIGTERM."""
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    async with host(url, silence) as layer, Server(ServerConfig(binds=[f"127.0.0.1:{port}"]), layer):
        print("serving", flush=True)
        await stop.wait()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        runner.run(serve(sys.argv[1], sys.argv[2], float(sys.argv[3])))
