"""One end of a channel, in a process of its own: ``python -m bench.post LAYER REDIS DESCRIPTOR``.

LAYER is fairway, core or pubsub. What it shall do comes as lines of JSON over the socket DESCRIPTOR: send so many
messages, or receive so many; it answers each line when that is done. A message carries the instant at which it was
sent. Each layer is used in the form that is cheapest: Fairway's blocks, those of channels_redis run on uvloop.
"""

from __future__ import annotations

import asyncio
import json
import socket
import sys
import time
from collections.abc import Callable
from typing import Any

from bench.payloads import message_text
from bench.plan import TOO_LARGE

TIMEOUT = 20.0
CAPACITY = 1_000

Order = dict[str, Any]


def main(layer: str, redis: str, descriptor: int) -> None:
    """Serve orders until the other side hangs up."""
    serve = {"fairway": _Fairway, "core": _Core, "pubsub": _Pubsub}[layer](redis).obey
    with socket.socket(fileno=descriptor) as sock, sock.makefile("rw") as lines:
        for line in lines:
            print(json.dumps(serve(json.loads(line))), file=lines, flush=True)


def message(size: int) -> dict[str, Any]:
    """Return a message of so many bytes of text."""
    return {"type": "bench.message", "at": time.perf_counter(), "text": message_text(size)}


class _Fairway:
    def __init__(self, redis: str) -> None:
        from fairway.layers.registry import make_layer, parse_setting
        from fairway.limits import MessageLimits

        config = {"message_limits": MessageLimits(body=TOO_LARGE - 1)}
        setting = parse_setting("default", {"URL": f"redis+unix://{redis}?prefix=bench", "CONFIG": config})
        self._layer = make_layer(setting)
        self._reader: Any = None

    def obey(self, order: Order) -> Any:
        verb = order["verb"]
        if verb == "open":
            # As a worker process with one thread would.
            self._reader = self._layer.reader([order["channel"]], 2, 1)
            return order["channel"]
        if verb == "send":
            for _ in range(order["count"]):
                self._layer.send(order["channel"], message(order["size"]), TIMEOUT)
            return None
        if verb == "refuse":
            return self._refuses(order["channel"])
        return [self._receive(order["size"]) for _ in range(order["count"])]

    def _receive(self, size: int) -> float:
        from fairway.layers.codec import decode_message

        delivery = self._reader.receive(TIMEOUT)
        latency = _latency(decode_message(delivery.body), size)
        self._reader.commit(delivery)
        return latency

    def _refuses(self, channel: str) -> bool:
        from fairway.errors import MessageTooLarge

        try:
            self._layer.send(channel, message(TOO_LARGE))
        except MessageTooLarge:
            return True
        return False


class _Channels:
    def __init__(self, redis: str) -> None:
        import uvloop

        self._layer = self._make([f"unix://{redis}"])
        self._run: Callable[..., Any] = asyncio.Runner(loop_factory=uvloop.new_event_loop).run
        self._channel = ""

    def _make(self, hosts: list[str]) -> Any:
        raise NotImplementedError

    def obey(self, order: Order) -> Any:
        return self._run(self._obey(order))

    async def _obey(self, order: Order) -> Any:
        verb = order["verb"]
        if verb == "open":
            self._channel = await self._open(order["channel"])
            return self._channel
        if verb == "send":
            for _ in range(order["count"]):
                await self._layer.send(order["channel"], message(order["size"]))
            return None
        return [
            _latency(await asyncio.wait_for(self._layer.receive(self._channel), TIMEOUT), order["size"])
            for _ in range(order["count"])
        ]

    async def _open(self, channel: str) -> str:
        return channel


class _Core(_Channels):
    def _make(self, hosts: list[str]) -> Any:
        from channels_redis.core import RedisChannelLayer

        return RedisChannelLayer(hosts=hosts, capacity=CAPACITY)


class _Pubsub(_Channels):
    def _make(self, hosts: list[str]) -> Any:
        from channels_redis.pubsub import RedisPubSubChannelLayer

        return RedisPubSubChannelLayer(hosts=hosts)

    async def _open(self, _channel: str) -> str:
        name: str = await self._layer.new_channel()  # it knows no others
        return name


def _latency(content: dict[str, Any], size: int) -> float:
    latency: float = time.perf_counter() - content["at"]
    if len(content["text"]) != size:
        raise SystemExit(f"a message of {size} B arrived with {len(content['text'])}")
    return latency


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
