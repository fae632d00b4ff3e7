"""The floor as a contender: `bench/floor.py` on uvloop."""

from __future__ import annotations

import sys
from collections.abc import Mapping

from bench.contenders.base import Contender, Running


class Floor(Contender):
    """A bare loop."""

    key = "floor"
    title = "floor (bare uvloop)"
    modules = ("uvloop",)
    distributions = ("uvloop",)

    def _start(self, running: Running, extra: Mapping[str, str]) -> None:
        """Start the one process."""
        self._launch(running, "server", [sys.executable, "-m", "bench.floor", str(running.port)], env=extra)
