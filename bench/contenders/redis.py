"""What contenders with a Redis share: each has one of its own.

It listens on a Unix socket, which is its fastest transport, and keeps nothing on disk.
"""

from __future__ import annotations

import shutil
import socket
import subprocess
import time

from bench.contenders.base import START_TIMEOUT, Contender, Running
from bench.errors import BenchError
from bench.processes import Process


class WithRedis(Contender):
    """A contender with a Redis."""

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

    @property
    def redis_socket(self) -> str:
        """Where the Redis listens."""
        return str(self.folder / "redis.sock")

    def start_redis(self, running: Running) -> Process:
        """Start the Redis, empty, and wait until it answers."""
        options = {
            "port": "0",
            "unixsocket": self.redis_socket,
            "save": "",
            "appendonly": "no",
            "dir": str(self.folder),
        }
        argv = ["redis-server", *(word for name, value in options.items() for word in (f"--{name}", value))]
        process = self._launch(running, "redis", argv)
        deadline = time.monotonic() + START_TIMEOUT
        while not _answers(self.redis_socket, process):
            if time.monotonic() > deadline:
                raise BenchError(f"redis-server does not answer:\n{process.log_tail()}")
            time.sleep(0.005)
        return process


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
