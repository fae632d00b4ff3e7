"""What makes a worker process retire: a consumer that does not end, messages enough, memory enough.

A process that retires takes no more messages, finishes what it runs, and leaves its place to a fresh one, which
whoever keeps the processes starts.
"""

import math
import os
import random
import sys
from collections.abc import Sequence
from pathlib import Path

from fairway.limits import UNLIMITED, WorkerLimits
from fairway.worker.loop import Worker

JITTER = 0.1
"""How much later than told a process may retire for its messages, so that those of one deploy do not go together."""

LOOK_EVERY = 1.0
"""Seconds between two looks."""

_STATM = Path("/proc/self/statm")


class Watch:
    """Looks after the workers of one process, every `interval` seconds.

    Parameters:
        workers: whom to look after.
        limits: what they may do.
    """

    def __init__(self, workers: Sequence[Worker], limits: WorkerLimits) -> None:
        self._workers = workers
        self._limits = limits
        has_count = limits.max_messages != UNLIMITED
        self.most_messages = limits.max_messages * random.uniform(1, 1 + JITTER) if has_count else math.inf  # noqa: S311
        """After how many messages the process retires."""
        self._time_limit = limits.time_limit if limits.time_limit != UNLIMITED else math.inf
        self.interval = min(LOOK_EVERY, self._time_limit / 4)

    def look(self) -> str:
        """Do what is due; return why the process has to retire, "" while it has not."""
        for worker in self._workers:
            worker.release_stale()
        return self.end_overdue() or self._had_enough()

    def end_overdue(self) -> str:
        """End consumers that run for too long; return why the process has to retire if one does not end."""
        exceeded = max((worker.end_overdue(self._time_limit) for worker in self._workers), default=0.0)
        return f"a consumer ran for longer than its time limit of {exceeded:g} s" if exceeded else ""

    def _had_enough(self) -> str:
        limits = self._limits
        taken = sum(worker.taken for worker in self._workers)
        if taken >= self.most_messages:
            return f"{taken} messages, of at most {limits.max_messages} and up to a tenth more"
        if limits.max_memory != UNLIMITED and (held := resident_bytes()) > limits.max_memory:
            return f"{held >> 20} MiB of memory, of at most {limits.max_memory >> 20} MiB"
        return ""


def resident_bytes() -> int:
    """Return the memory of this process in bytes; where the system does not tell, the most it ever had."""
    try:
        return int(_STATM.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        import resource

        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return most if sys.platform == "darwin" else most * 1024
