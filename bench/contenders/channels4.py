"""Channels 4 under uvicorn and under Daphne, with the pub/sub layer, and under uvicorn with the core layer.

Each server runs as its documentation says for production, in one process, with logging of single requests off.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping

from bench.contenders.base import DjangoContender, Running
from bench.contenders.redis import WithRedis


class _Channels4(WithRedis, DjangoContender):
    app = "channels4"
    layer = "pubsub"

    def _start(self, running: Running, extra: Mapping[str, str]) -> None:
        """Start Redis, then the servers."""
        self.start_redis(running)
        env = {**self.env, "BENCH_REDIS": self.redis_socket, "BENCH_CHANNEL_LAYER": self.layer, **extra}
        for number, port in enumerate(running.ports):
            argv = [sys.executable, *self._server(port)]
            self._launch(running, f"server-{number}", argv, cwd=self.project, env=env)

    def _server(self, port: int) -> list[str]:
        raise NotImplementedError


class ChannelsUvicorn(_Channels4):
    """Channels 4 under uvicorn (uvloop, httptools, websockets)."""

    key = "uvicorn"
    title = "Channels 4, uvicorn, Redis pub/sub"
    modules = ("django", "channels", "channels_redis", "uvicorn", "uvloop", "httptools", "websockets")
    distributions = ("channels", "channels-redis", "Django", "uvicorn", "uvloop", "websockets", "redis")

    def _server(self, port: int) -> list[str]:
        application = "bench.apps.channels4.asgi:application"
        return [
            "-m",
            "uvicorn",
            "--host",
            "127.0.0.1",
            "--port",
            str(port),
            "--log-level",
            "warning",
            "--lifespan",
            "off",
            application,
        ]


class ChannelsCore(ChannelsUvicorn):
    """The same with the core layer."""

    key = "uvicorn-core"
    title = "Channels 4, uvicorn, Redis core"
    layer = "core"


class ChannelsDaphne(_Channels4):
    """Channels 4 under Daphne (Twisted, autobahn)."""

    key = "daphne"
    title = "Channels 4, Daphne, Redis pub/sub"
    modules = ("django", "channels", "channels_redis", "daphne")
    distributions = ("channels", "channels-redis", "Django", "daphne", "Twisted", "autobahn", "redis")

    def _server(self, port: int) -> list[str]:
        return ["-m", "daphne", "-b", "127.0.0.1", "-p", str(port), "-v", "0", "bench.apps.channels4.asgi:application"]
