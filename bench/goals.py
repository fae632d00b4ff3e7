"""What Fairway's numbers are held against; a goal that a run cannot judge is not listed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from bench.exercise import Sample
from bench.results import Results

CHANNELS = ("uvicorn", "daphne")
FLOOR_FACTOR = 1.5
FANOUT_FACTOR = 15.0
ECHO_SHARE = 0.5
IDLE_BYTES = 8 * 1024


@dataclass(frozen=True)
class Verdict:
    """One goal, what came of it, and whether that is enough."""

    goal: str
    found: str
    met: bool


def judge(results: Results) -> list[Verdict]:
    """Return a verdict for every goal that these results can answer."""
    return [*_fanout(results), *_echo(results), *_memory(results), *_everywhere(results)]


def _fanout(results: Results) -> Iterator[Verdict]:
    if ratio := results.ratio("fanout-100", "fairway", "floor"):
        goal = f"fan-out, 100 B: at most {FLOOR_FACTOR:g} times the floor's CPU"
        yield Verdict(goal, f"{ratio.median:.2f} times", ratio.median <= FLOOR_FACTOR)
    for other in CHANNELS:
        if ratio := results.ratio("fanout-100", other, "fairway"):
            goal = f"fan-out, 100 B: at least {FANOUT_FACTOR:g} times less CPU than Channels 4, {other}"
            yield Verdict(goal, f"{ratio.median:.1f} times less", ratio.median >= FANOUT_FACTOR)


def _echo(results: Results) -> Iterator[Verdict]:
    for shape in ("echo-1", "echo-100"):
        for other in CHANNELS:
            if ratio := results.ratio(shape, "fairway", other):
                goal = f"{shape}: at most {ECHO_SHARE:.0%} of the CPU of Channels 4, {other}"
                yield Verdict(goal, f"{ratio.median:.0%}", ratio.median <= ECHO_SHARE)


def _memory(results: Results) -> Iterator[Verdict]:
    if row := results.row("memory-deflate", "fairway"):
        found = row.cost.median
        yield Verdict(
            f"idle connection, deflate offered: at most {IDLE_BYTES / 1024:g} KiB",
            f"{found / 1024:.1f} KiB",
            found <= IDLE_BYTES,
        )


def _everywhere(results: Results) -> Iterator[Verdict]:
    """Nowhere worse than Channels 4: in CPU or memory, and in latency where that is the question."""
    for row in results.rows:
        if row.contender != "fairway" or not row.samples:
            continue
        for other in CHANNELS:
            if ratio := results.ratio(row.shape.key, "fairway", other):
                what = "memory" if row.shape.family == "memory" else "CPU"
                yield Verdict(
                    f"{row.shape.key}: no more {what} than Channels 4, {other}",
                    f"{ratio.median:.0%}",
                    ratio.median <= 1,
                )
            if row.shape.slow_sockets and (ratio := results.ratio(row.shape.key, "fairway", other, _p99)):
                yield Verdict(
                    f"{row.shape.key}: p99 no worse than Channels 4, {other}", f"{ratio.median:.0%}", ratio.median <= 1
                )


def _p99(sample: Sample) -> list[float]:
    return [sample.p99]
