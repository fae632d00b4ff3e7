"""Fairway as a contender: `manage.py runserver` of `bench/apps/fairway`; one process, the memory layer.

What a measurement needs to know about starting Fairway is in `start` below; the application is in the project.
"""

from __future__ import annotations

import sys

from bench.contenders.base import DjangoContender, Running, free_port


class Fairway(DjangoContender):
    """Interface server, memory layer and worker threads in one process."""

    key = "fairway"
    title = "Fairway (runserver, memory layer)"
    app = "fairway"
    modules = ("django", "fairway", "uvloop", "httptools", "websockets")
    distributions = ("fairway", "Django", "uvloop", "httptools", "websockets")

    def start(self) -> Running:
        """Start the one process."""
        running = Running(free_port(), cookie=self.cookie)
        argv = [sys.executable, "manage.py", "runserver", "--noreload", str(running.port)]
        try:
            self._launch(running, "server", argv, cwd=self.project, env=self.env)
            self._await(running)
        except BaseException:
            running.stop()
            raise
        return running
