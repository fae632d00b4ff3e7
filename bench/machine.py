"""Where it was measured, and how much else ran there meanwhile."""

from __future__ import annotations

import os
import platform
from pathlib import Path


def describe() -> dict[str, str]:
    """Return the processor, the system and the Python."""
    return {
        "processor": f"{_processor()}, {os.cpu_count()} cores",
        "system": f"{platform.system()} {platform.release()}",
        "python": f"{platform.python_implementation()} {platform.python_version()}",
    }


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


class Disturbance:
    """How much of the machine others used meanwhile: a run on a busy machine says so itself."""

    def __init__(self) -> None:
        """Start counting."""
        self._before = _ticks()

    def share(self, own: float) -> float:
        """Return the share of all cores that was used beyond `own` seconds of CPU, stolen time included."""
        busy, total = (now - before for now, before in zip(_ticks(), self._before, strict=True))
        own_ticks = own * os.sysconf("SC_CLK_TCK")
        return max(0.0, (busy - own_ticks) / total) if total else 0.0


def own_cpu() -> float:
    """Return the CPU seconds of this process and of its children that have ended."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def _ticks() -> tuple[int, int]:
    """Return the ticks that the cores were busy, and all ticks."""
    # user nice system idle iowait irq softirq steal; guest time is part of user time already.
    values = [int(value) for value in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
    return sum(values) - values[3] - values[4], sum(values)
