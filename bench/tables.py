"""The table of a shape: which columns it has, and what stands in them."""

from __future__ import annotations

from collections.abc import Callable

from bench.later import DELIVERED, LATE, SCHEDULED
from bench.plan import DATABASE, DELAY_SERVER, Shape
from bench.results import Results, Row, Spread

Line = tuple[str, ...]

LOAD = ("CPU µs per unit", "times floor", "per second", "p50 ms", "p99 ms", "client")
MEMORY = ("KiB per connection", "times floor")
LATENESS = ("p50 ms late", "p99 ms late", "CPU ms per 1,000: delay server", "database")
TURNOVER = (
    "scheduled per second",
    "CPU ms per 1,000: delay server",
    "database",
    "delivered per second",
    "CPU ms per 1,000: delay server",
    "database",
)
BARE = "json-hub"  # What rohrpost is compared with, as others are with the floor.


def table(results: Results, shape: Shape, rows: list[Row]) -> tuple[str, Line, list[Line]]:
    """Return the title of a shape's table, its header and its lines."""
    title = f"{shape.title} (unit: one {shape.unit})" if shape.family not in ("memory", "delay") else shape.title
    header, cells = _form(results, shape)
    if shape.requests:
        header = tuple(name.replace("floor", "bare") for name in header)
    return title, ("contender", *header, "notes"), [_line(row, header, cells) for row in rows]


def _form(results: Results, shape: Shape) -> tuple[Line, Callable[[Row], Line]]:
    """Return the columns of a shape, and what fills them for a contender."""
    if shape.family == "memory":
        return MEMORY, lambda row: _memory(results, row)
    if shape.family == "delay":
        return (LATENESS, _lateness) if shape.seconds else (TURNOVER, _turnover)
    return LOAD, lambda row: _load(results, row)


def _line(row: Row, header: Line, cells: Callable[[Row], Line]) -> Line:
    found = cells(row) if row.samples else ("failed", *[""] * (len(header) - 1))
    return row.title, *found, "; ".join(row.notes())


def _load(results: Results, row: Row) -> Line:
    return (
        _with_range(row.cost, lambda value: f"{value * 1e6:.1f}"),
        _compared(results, row),
        f"{row.spread(lambda sample: sample.rate).median:,.0f}",
        *_times(row),
        f"{row.spread(lambda sample: sample.client_load).median:.0%}",
    )


def _memory(results: Results, row: Row) -> Line:
    return _with_range(row.cost, lambda value: f"{value / 1024:.1f}"), _compared(results, row)


def _lateness(row: Row) -> Line:
    return *_times(row), *_costs(row, LATE)


def _turnover(row: Row) -> Line:
    return tuple(
        cell
        for phase in (SCHEDULED, DELIVERED)
        for cell in (_with_range(_detail(row, phase, "rate"), lambda value: f"{value:,.0f}"), *_costs(row, phase))
    )


def _times(row: Row) -> Line:
    return (
        f"{row.spread(lambda sample: sample.p50).median * 1e3:.2f}",
        _with_range(row.spread(lambda sample: sample.p99), lambda value: f"{value * 1e3:.2f}"),
    )


def _costs(row: Row, phase: str) -> Line:
    """Return what a phase took of the delay server and of its database, for each message."""
    server, database = (
        _with_range(_detail(row, phase, part), lambda value: f"{value * 1e6:.1f}") for part in (DELAY_SERVER, DATABASE)
    )
    return server, "in it" if "sqlite" in row.contender else database


def _detail(row: Row, phase: str, name: str) -> Spread:
    """Return a detail of a phase for each of its messages, or its rate."""

    def value(details: dict[str, float]) -> float:
        units = details[f"{phase} units"]
        return units / details[f"{phase} seconds"] if name == "rate" else details[f"{phase} {name}"] / units

    return row.spread(lambda sample: value(sample.details))


def _compared(results: Results, row: Row) -> str:
    ratio = results.ratio(row.shape.key, row.contender, BARE if row.shape.requests else "floor")
    return f"{ratio.median:.2f}" if ratio else ""


def _with_range(spread: Spread, show: Callable[[float], str]) -> str:
    if spread.low == spread.high:
        return show(spread.median)
    return f"{show(spread.median)} ({show(spread.low)}-{show(spread.high)})"
