"""What was measured, by shape, contender and round; medians with their spread, and ratios, drawn from it."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field

from bench.exercise import Sample
from bench.occasions import Occasion
from bench.plan import Shape

SATURATED = 0.95


@dataclass(frozen=True)
class Spread:
    """A median and the range around it."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Iterable[float]) -> Spread:
        """Draw it from at least one value."""
        ordered = sorted(values)
        return cls(statistics.median(ordered), ordered[0], ordered[-1])


@dataclass
class Row:
    """One contender's rounds of one shape."""

    shape: Shape
    contender: str
    title: str
    samples: dict[int, Sample] = field(default_factory=dict)
    errors: dict[int, str] = field(default_factory=dict)

    def spread(self, value: Callable[[Sample], float]) -> Spread:
        """Return the spread of one number over the rounds."""
        return Spread.of(value(sample) for sample in self.samples.values())

    @property
    def cost(self) -> Spread:
        """What the shape is about: CPU seconds per unit, or bytes per idle connection."""
        return self.spread(lambda sample: sample.cost)

    def notes(self) -> list[str]:
        """What to know when reading the row."""
        notes = []
        if self.samples and self.shape.deflate and not any(sample.deflated for sample in self.samples.values()):
            notes.append("deflate declined")
        if self.samples and self.spread(lambda sample: sample.client_load).median >= SATURATED:
            notes.append("client saturated: rate and latency are its own")
        if self.errors:
            notes.append(f"{len(self.errors)} rounds failed: " + next(iter(self.errors.values())).splitlines()[0])
        return notes


def _costs(sample: Sample) -> list[float]:
    return sample.costs


@dataclass
class Results:
    """All rows of a run, in the order of the plan."""

    rows: list[Row] = field(default_factory=list)
    occasions: list[Occasion] = field(default_factory=list)

    def row(self, shape: str, contender: str) -> Row | None:
        """Return the row, if it has samples."""
        return next(
            (row for row in self.rows if (row.shape.key, row.contender) == (shape, contender) and row.samples), None
        )

    def ratio(
        self,
        shape: str,
        contender: str,
        other: str,
        values: Callable[[Sample], list[float]] = _costs,
        *,
        other_shape: str = "",
    ) -> Spread | None:
        """Compare two contenders slice by slice, since what disturbs a slice disturbs its neighbour too."""
        mine, theirs = self.row(shape, contender), self.row(other_shape or shape, other)
        if mine is None or theirs is None:
            return None
        ratios = [
            value / divisor
            for number in mine.samples.keys() & theirs.samples.keys()
            for value, divisor in zip(values(mine.samples[number]), values(theirs.samples[number]), strict=True)
            if divisor > 0
        ]
        return Spread.of(ratios) if ratios else None

    def as_json(self) -> list[dict[str, object]]:
        """Return every sample of every row, and the medians."""
        return [_row_as_json(row) for row in self.rows]


def _row_as_json(row: Row) -> dict[str, object]:
    medians: dict[str, float] = {}
    if row.samples:
        for name in ("cost", "rate", "p50", "p99", "client_load"):
            medians[name] = row.spread(lambda sample, name=name: getattr(sample, name)).median  # type: ignore[misc]
    return {
        "shape": row.shape.key,
        "title": row.shape.title,
        "unit": row.shape.unit,
        "contender": row.contender,
        "median": medians,
        "rounds": {number: asdict(sample) for number, sample in row.samples.items()},
        "errors": row.errors,
        "notes": row.notes(),
    }
