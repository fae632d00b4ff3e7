"""Channels 4 as two contenders, uvicorn and Daphne, each with a Redis of its own and the pub/sub layer.

Each server runs as its documentation says for production, in one process, with logging of single requests off. Redis
listens on a Unix socket (its fastest transport) and keeps nothing on disk.
"""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Mapping

from bench.contenders.base import START_TIMEOUT, DjangoContender, Running
from bench.errors import BenchError
from bench.processes import Process


class _Channels4(DjangoContender):
    app = "channels4"

    def missing(self) -> str:
        """Name the Python packages, then the Redis server."""
        return super().missing() or (
            "" if shutil.which("redis-server") else "redis-server is not installed (apt-get install redis-server)"
        )

    def versions(self) -> dict[str, str]:
        """Add the Redis server's version."""
        printed = subprocess.run(
            ["redis-server", "--version"], capture_output=True, text=True, timeout=10, check=True
        ).stdout
        return {**super().versions(), "redis-server": printed.partition("v=")[2].split(" ")[0]}

    def _start(self, running: Running, extra: Mapping[str, str]) -> None:
        """Start Redis, then the server."""
        self._start_redis(running)
        argv = [sys.executable, *self._server(running.port)]
        env = {**self.env, "BENCH_REDIS": self._redis_socket, **extra}
        self._launch(running, "server", argv, cwd=self.project, env=env)

    def _server(self, port: int) -> list[str]:
        raise NotImplementedError

    @property
    def _redis_socket(self) -> str:
        return str(self.folder / "redis.sock")

    def _start_redis(self, running: Running) -> None:
        options = {
            "port": "0",
            "unixsocket": self._redis_socket,
            "save": "",
            "appendonly": "no",
            "dir": str(self.folder),
        }
        argv = ["redis-server", *(word for name, value in options.items() for word in (f"--{name}", value))]
        process = self._launch(running, "redis", argv)
        deadline = time.monotonic() + START_TIMEOUT
        while not _answers(self._redis_socket, process):
            if time.monotonic() > deadline:
                raise BenchError(f"redis-server does not answer:\n{process.log_tail()}")
            time.sleep(0.02)


def _answers(path: str, process: Process) -> bool:
    process.check()
    with socket.socket(socket.AF_UNIX) as sock:
        try:
            sock.settimeout(1)
            sock.connect(path)
            sock.sendall(b"PING\r\n")
            return sock.recv(16).startswith(b"+PONG")
        except OSError:
            return False


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


class ChannelsDaphne(_Channels4):
    """Channels 4 under Daphne (Twisted, autobahn)."""

    key = "daphne"
    title = "Channels 4, Daphne, Redis pub/sub"
    modules = ("django", "channels", "channels_redis", "daphne")
    distributions = ("channels", "channels-redis", "Django", "daphne", "Twisted", "autobahn", "redis")

    def _server(self, port: int) -> list[str]:
        return ["-m", "daphne", "-b", "127.0.0.1", "-p", str(port), "-v", "0", "bench.apps.channels4.asgi:application"]
