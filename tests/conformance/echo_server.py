"""A whole Fairway in one process, with a consumer that echoes, and limits that let the largest cases through.

Their suites try messages of 16 MiB, and 4 MiB in 65,536 frames; Fairway's defaults refuse both, on purpose.
"""

import asyncio
import signal
import sys

import django
from django.conf import settings

from fairway.limits import MIB, MessageLimits, ServerLimits, WebSocketLimits
from fairway.server import Server, ServerConfig

LARGEST = 32 * MIB
MESSAGE = MessageLimits(body=LARGEST)
LIMITS = ServerLimits(websocket=WebSocketLimits(message=LARGEST, fragments=100_000), drain=0)


def accept(message):
    message.reply_channel.send({"accept": True})


def echo(message):
    content = message.content
    message.reply_channel.send({key: content[key] for key in ("text", "bytes") if content.get(key) is not None})


def configure() -> None:
    """The settings of a project with nothing but these two consumers."""
    from fairway import route

    settings.configure(
        SECRET_KEY="conformance",
        INSTALLED_APPS=["fairway"],
        DATABASES={},
        CHANNEL_LAYERS={
            "default": {
                "BACKEND": "fairway.layers.MemoryLayer",
                "CONFIG": {"message_limits": MESSAGE},
                "ROUTING": [route("websocket.connect", accept), route("websocket.receive", echo)],
            }
        },
    )
    django.setup()


async def serve(port: int) -> None:
    """Server and worker, until SIGTERM."""
    from fairway.application import application_for
    from fairway.conf import channel_layers
    from fairway.worker.loop import Worker

    layer = channel_layers["default"]
    server = Server(ServerConfig(binds=[f"127.0.0.1:{port}"], limits=LIMITS), layer)
    worker = Worker(layer, application_for(), threads=2)
    ended = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
    await server.start()
    worker.start()
    try:
        await ended.wait()
    finally:
        await server.stop()
        worker.stop(2)


if __name__ == "__main__":
    configure()
    asyncio.run(serve(int(sys.argv[1])))
