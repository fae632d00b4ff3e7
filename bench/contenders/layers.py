"""Layers alone: a Redis, a process that sends and one that receives."""

from __future__ import annotations

import socket
import sys
from collections.abc import Mapping

from bench.contenders.base import Running
from bench.contenders.redis import WithRedis
from bench.messages import End


class _LayerAlone(WithRedis):
    layer: str

    def _start(self, running: Running, extra: Mapping[str, str]) -> None:
        self.start_redis(running)
        for name in ("sender", "receiver"):
            ours, theirs = socket.socketpair()
            with theirs:
                argv = [sys.executable, "-m", "bench.post", self.layer, self.redis_socket, str(theirs.fileno())]
                self._launch(running, name, argv, env=extra, descriptors=[theirs.fileno()])
            running.ends.append(End(ours))

    def _await(self, running: Running) -> None:
        """Nothing to wait for: they answer to the first thing that they are told."""


class FairwayLayer(_LayerAlone):
    """Fairway's Redis layer."""

    key = "layer-fairway"
    title = "Fairway, Redis"
    modules = ("fairway", "redis")
    distributions = ("fairway", "redis", "hiredis")
    layer = "fairway"


class CoreLayer(_LayerAlone):
    """The core layer of channels_redis."""

    key = "layer-core"
    title = "channels_redis, core"
    modules = ("channels_redis", "uvloop")
    distributions = ("channels-redis", "redis", "hiredis", "uvloop")
    layer = "core"


class PubsubLayer(CoreLayer):
    """Its pub/sub layer, which keeps nothing that nobody waits for."""

    key = "layer-pubsub"
    title = "channels_redis, pub/sub"
    layer = "pubsub"
