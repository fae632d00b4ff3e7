"""What Fairway's numbers are held against; a goal that a run cannot judge is not listed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import product

from bench.exercise import Sample
from bench.results import Results, Row

CHANNELS = ("uvicorn", "daphne")
OURS = ("fairway", "fairway-hub")
FLOOR_FACTOR = 1.5
FANOUT_FACTOR = 15.0
ECHO_SHARE = 0.5
HUB_ECHO_SHARE = 0.25
HUB_RATE = 4.0
HTTP_SHARE = 0.75
IDLE_BYTES = 8 * 1024
JOINED_ECHO = 1.1
REDIS_ECHO = 1.5
GROUP_FACTOR = 10.0
MESSAGE_SHARE = 0.5
REQUEST_FACTOR = 1.5
LATE_MS = 50


@dataclass(frozen=True)
class Verdict:
    """One goal, what came of it, and whether that is enough."""

    goal: str
    found: str
    met: bool


def judge(results: Results) -> list[Verdict]:
    """Return a verdict for every goal that these results can answer."""
    return [
        *_hub(results),
        *_slow(results),
        *_http(results),
        *_crowd(results),
        *_layer(results),
        *_rohrpost(results),
        *_delay(results),
        *_hosts(results),
        *_occasions(results),
        *_fanout(results),
        *_echo(results),
        *_memory(results),
        *_everywhere(results),
    ]


def _hub(results: Results) -> Iterator[Verdict]:
    """Echo through hub and a worker process, beside Channels 4's synchronous consumer under uvicorn."""
    for shape in ("echo-100", "rate-100"):
        if ratio := results.ratio(shape, "fairway-hub", "uvicorn"):
            goal = f"hub, {shape}: at most {HUB_ECHO_SHARE:.0%} of the CPU of Channels 4, uvicorn"
            yield Verdict(goal, f"{ratio.median:.1%}", ratio.median <= HUB_ECHO_SHARE)
    if ratio := results.ratio("rate-100", "fairway-hub", "uvicorn", _rate):
        goal = f"hub, rate-100: at least {HUB_RATE:g} times the rate of Channels 4, uvicorn"
        yield Verdict(goal, f"{ratio.median:.1f} times", ratio.median >= HUB_RATE)
    for shape in ("echo-100", "rate-100"):
        if ratio := results.ratio(shape, "fairway-hub", "uvicorn", _p99):
            goal = f"hub, {shape}: p99 no worse than Channels 4, uvicorn"
            yield Verdict(goal, f"{ratio.median:.0%}", ratio.median <= 1)


def _slow(results: Results) -> Iterator[Verdict]:
    """A slow consumer on 1 % of the sockets, beside Channels 4 without one."""
    for slow, plain in (("echo-slow", "echo-100"), ("rate-slow", "rate-100")):
        if ratio := results.ratio(slow, "fairway-hub", "uvicorn", _p99, other_shape=plain):
            goal = f"hub, {slow}: p99 no worse than that of Channels 4, uvicorn, without the slow consumer"
            yield Verdict(goal, f"{ratio.median:.0%}", ratio.median <= 1)


def _http(results: Results) -> Iterator[Verdict]:
    if ratio := results.ratio("http", "fairway-hub", "gunicorn"):
        goal = f"hub, http: at most {HTTP_SHARE:.0%} of the CPU of gunicorn gthread"
        yield Verdict(goal, f"{ratio.median:.1%}", ratio.median <= HTTP_SHARE)


def _crowd(results: Results) -> Iterator[Verdict]:
    if row := results.row("memory-crowd", "fairway-hub"):
        found = row.cost.median
        goal = f"hub, idle connection among {row.shape.sockets:,}: at most {IDLE_BYTES / 1024:g} KiB"
        yield Verdict(goal, f"{found / 1024:.1f} KiB", found <= IDLE_BYTES)
    if ratio := results.ratio("fanout-crowd", "fairway-hub", "floor"):
        goal = f"hub, fan-out to the crowd: at most {FLOOR_FACTOR:g} times the floor's CPU"
        yield Verdict(goal, f"{ratio.median:.2f} times", ratio.median <= FLOOR_FACTOR)


def _layer(results: Results) -> Iterator[Verdict]:
    """Messages through Redis, beside the core layer of channels_redis."""
    if ratio := results.ratio("message-1k", "layer-fairway", "layer-core"):
        goal = f"Redis layer, a message of 1 KiB: at most {MESSAGE_SHARE:.0%} of the CPU of channels_redis, core"
        yield Verdict(goal, f"{ratio.median:.0%}", ratio.median <= MESSAGE_SHARE)
    row = next((row for row in results.rows if row.shape.key == "message-10m"), None)
    if row:
        goal = "Redis layer: a message of 10 MiB passes, and one above the limit raises MessageTooLarge"
        yield Verdict(goal, "it does not" if row.errors else "it does", not row.errors)


def _rohrpost(results: Results) -> Iterator[Verdict]:
    """What a ping costs, beside an echo of the same frame."""
    for ours in ("rohrpost-hub", "rohrpost-user-hub"):
        if ratio := results.ratio("rohrpost-100", ours, "json-hub"):
            goal = f"{ours}: a ping costs at most {REQUEST_FACTOR:g} times the CPU of a bare JSON echo"
            yield Verdict(goal, f"{ratio.median:.2f} times", ratio.median <= REQUEST_FACTOR)


def _delay(results: Results) -> Iterator[Verdict]:
    """How late messages are on an idle machine."""
    for contender in ("delay-sqlite", "delay-postgres"):
        if row := results.row("delay-late", contender):
            p50, p99 = (
                row.spread(value).median * 1e3 for value in (lambda sample: sample.p50, lambda sample: sample.p99)
            )
            goal = f"{contender}: messages that are due are less than {LATE_MS} ms late (p99)"
            yield Verdict(goal, f"{p99:.1f} ms, p50 {p50:.1f} ms", p99 < LATE_MS)


def _hosts(results: Results) -> Iterator[Verdict]:
    """Several hosts: groups, and what an echo costs when Redis is there."""
    for ours, other in product(("fairway-redis", "fairway-joined"), ("uvicorn", "uvicorn-core")):
        if ratio := results.ratio("group-1000-on-2", other, ours):
            goal = f"{ours}, group-1000-on-2: at least {GROUP_FACTOR:g} times less CPU than Channels 4, {other}"
            yield Verdict(goal, f"{ratio.median:.1f} times less", ratio.median >= GROUP_FACTOR)
    factors = (("fairway-joined", "fairway-hub", JOINED_ECHO), ("fairway-redis", "uvicorn", REDIS_ECHO))
    for shape, (ours, other, factor) in product(("echo-100", "rate-100"), factors):
        if ratio := results.ratio(shape, ours, other):
            goal = f"{ours}, {shape}: at most {factor:g} times the CPU of {other}"
            yield Verdict(goal, f"{ratio.median:.2f} times", ratio.median <= factor)


def _occasions(results: Results) -> Iterator[Verdict]:
    for occasion in results.occasions:
        if occasion.values:
            goal = f"{occasion.title}: at most {occasion.goal:g} {occasion.unit}"
            yield Verdict(goal, f"{occasion.median:.1f} {occasion.unit}", occasion.median <= occasion.goal)


def _fanout(results: Results) -> Iterator[Verdict]:
    if ratio := results.ratio("fanout-100", "fairway", "floor"):
        goal = f"fan-out, 100 B: at most {FLOOR_FACTOR:g} times the floor's CPU"
        yield Verdict(goal, f"{ratio.median:.2f} times", ratio.median <= FLOOR_FACTOR)
    for other in CHANNELS:
        if ratio := results.ratio("fanout-100", other, "fairway"):
            goal = f"fan-out, 100 B: at least {FANOUT_FACTOR:g} times less CPU than Channels 4, {other}"
            yield Verdict(goal, f"{ratio.median:.1f} times less", ratio.median >= FANOUT_FACTOR)


def _echo(results: Results) -> Iterator[Verdict]:
    # The hub's two processes are for two cores: what is pinned to one pays for going to and fro between them.
    shapes = (
        ("fairway", "echo-1"),
        ("fairway", "echo-100"),
        ("fairway", "echo-user-100"),
        ("fairway-hub", "rate-user-100"),
    )
    for (ours, shape), other in product(shapes, CHANNELS):
        if ratio := results.ratio(shape, ours, other):
            goal = f"{ours}, {shape}: at most {ECHO_SHARE:.0%} of the CPU of Channels 4, {other}"
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
        if row.contender in OURS and row.samples:
            what = "memory" if row.shape.family == "memory" else "CPU"
            yield from _beside_channels(results, row, f"no more {what}", _costs)
            if row.shape.slow_sockets:
                yield from _beside_channels(results, row, "p99 no worse", _p99)


def _beside_channels(
    results: Results, row: Row, goal: str, values: Callable[[Sample], list[float]]
) -> Iterator[Verdict]:
    ratios = {other: results.ratio(row.shape.key, row.contender, other, values) for other in CHANNELS}
    found = {other: ratio.median for other, ratio in ratios.items() if ratio}
    if found:
        yield Verdict(
            f"{row.contender}, {row.shape.key}: {goal} than Channels 4, {' and '.join(found)}",
            " and ".join(f"{ratio:.0%}" for ratio in found.values()),
            max(found.values()) <= 1,
        )


def _costs(sample: Sample) -> list[float]:
    return sample.costs


def _p99(sample: Sample) -> list[float]:
    return [sample.p99]


def _rate(sample: Sample) -> list[float]:
    return [sample.rate]
