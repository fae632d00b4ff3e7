"""The floor as a contender: `bench/floor.py` on uvloop."""

from __future__ import annotations

import sys

from bench.contenders.base import Contender, Running, free_port
from bench.plan import Shape


class Floor(Contender):
    """A bare loop."""

    key = "floor"
    title = "floor (bare uvloop)"
    modules = ("uvloop",)
    distributions = ("uvloop",)

    def does(self, shape: Shape) -> bool:
        """All but Django's work, for which there is no floor."""
        return not shape.json

    def start(self) -> Running:
        """Start the one process."""
        running = Running(free_port())
        try:
            self._launch(running, "server", [sys.executable, "-m", "bench.floor", str(running.port)])
            self._await(running)
        except BaseException:
            running.stop()
            raise
        return running
