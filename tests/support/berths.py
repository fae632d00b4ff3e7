"""Where the programs of the kill soak meet, by URL: a hub, one Redis, or hubs that are joined through it.

A message may be begun as often as need be: where workers die all the time, five deaths over one message are no sign
that it is the cause.
"""

import contextlib
from collections.abc import AsyncIterator
from dataclasses import replace

from fairway.layers.base import Layer
from fairway.layers.hub.address import parse_url
from fairway.layers.hub.client import LocalLayer
from fairway.layers.hub.joined.layer import JoinedLayer
from fairway.layers.hub.server import HubServer
from fairway.layers.memory import MemoryLayer
from fairway.layers.redis.commands import SILENCE
from fairway.layers.redis.layer import RedisLayer
from fairway.limits import DEFAULT_RULES, BrokerLimits

ATTEMPTS = 1000
LIMITS = BrokerLimits(rules=tuple((name, replace(rule, attempts=ATTEMPTS)) for name, rule in DEFAULT_RULES))


def is_redis(url: str) -> bool:
    """Whether workers and servers of that layer meet in Redis itself."""
    return url.startswith("redis")


def reach(url: str, wait: float, silence: float = SILENCE) -> Layer:
    """Return the layer of a process that hosts none."""
    if is_redis(url):
        return RedisLayer(url, limits=LIMITS, wait=wait, silence=silence)
    return LocalLayer(parse_url(url).path, wait=wait)


@contextlib.asynccontextmanager
async def host(url: str, silence: float) -> AsyncIterator[Layer]:
    """Hold the layer of a server, with the hub where there is one; who gives no sign for so long is dead."""
    if is_redis(url):
        with contextlib.closing(RedisLayer(url, limits=LIMITS, silence=silence)) as layer:
            yield layer
        return
    address = parse_url(url)
    if address.upstream:
        upstream = RedisLayer(address.upstream, limits=LIMITS, silence=silence)
        hosted: MemoryLayer = JoinedLayer(upstream, LIMITS)
    else:
        hosted = MemoryLayer(LIMITS)
    with contextlib.closing(hosted):
        async with HubServer(hosted, address, silence=silence):
            yield hosted
