"""A server with its hub, as `fairway serve` has them, with two limits that a long count wants otherwise.

Usage: harbour.py FOLDER PORT SILENCE. A process is taken for dead after SILENCE seconds, and a message may be begun as
often as need be: where workers die all the time, five deaths over one message are no sign that it is the cause.
"""

import asyncio
import signal
import sys
from dataclasses import replace

from fairway.layers.hub.address import HubAddress
from fairway.layers.hub.server import HubServer
from fairway.layers.memory import MemoryLayer
from fairway.limits import DEFAULT_RULES, BrokerLimits
from fairway.server import Server, ServerConfig, new_event_loop

ATTEMPTS = 1000


async def serve(folder: str, port: str, silence: float) -> None:
    """Serve until SIGTERM."""
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    rules = tuple((name, replace(rule, attempts=ATTEMPTS)) for name, rule in DEFAULT_RULES)
    layer = MemoryLayer(BrokerLimits(rules=rules))
    address = HubAddress(path=f"{folder}/hub.sock")
    async with (
        HubServer(layer, address, silence=silence),
        Server(ServerConfig(binds=[f"127.0.0.1:{port}"]), layer),
    ):
        print("serving", flush=True)
        await stop.wait()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        runner.run(serve(sys.argv[1], sys.argv[2], float(sys.argv[3])))
