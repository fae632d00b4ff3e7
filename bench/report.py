"""Results for people and programs: a table for the terminal, the same in Markdown for RESULTS.md, and JSON."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path

from bench.errors import BenchError
from bench.goals import judge
from bench.plan import Shape
from bench.results import Results, Row, Spread

RESULTS_FILE = Path(__file__).with_name("RESULTS.md")
_BEGIN = re.compile(r"<!-- results: written by [^>]+ -->\n")
_END = "<!-- end of results -->"

_LOAD_HEADER = ("contender", "CPU µs per unit", "times floor", "per second", "p50 ms", "p99 ms", "client", "notes")
_OCCASIONS_HEADER = ("what", "median", "range", "times tried", "notes")
_MEMORY_HEADER = ("contender", "KiB per connection", "times floor", "notes")


@dataclass
class Report:
    """A run as it is told: the results and the circumstances."""

    results: Results
    command: str
    date: str
    rounds: int
    pinning: str
    machine: dict[str, str]
    versions: dict[str, dict[str, str]]
    disturbance: float
    skipped: dict[str, str] = field(default_factory=dict)

    def terminal(self) -> str:
        """Return the tables as aligned text."""
        parts = [self._circumstances("")]
        for title, header, rows in self._tables():
            parts.append(f"{title}\n" + _aligned(header, rows))
        if self.results.occasions:
            parts.append("occasions\n" + _aligned(_OCCASIONS_HEADER, self._occasions()))
        verdicts = judge(self.results)
        if verdicts:
            parts.append(
                "goals\n" + _aligned(("", "found", "goal"), [(_mark(met=v.met), v.found, v.goal) for v in verdicts])
            )
        return "\n\n".join(parts)

    def markdown(self) -> str:
        """Return the tables for RESULTS.md."""
        parts = [self._circumstances("- ")]
        for title, header, rows in self._tables():
            parts.append(f"### {title[:1].upper()}{title[1:]}\n\n" + _markdown(header, rows))
        if self.results.occasions:
            parts.append("### Occasions\n\n" + _markdown(_OCCASIONS_HEADER, self._occasions()))
        verdicts = judge(self.results)
        if verdicts:
            parts.append(
                "### Goals\n\n"
                + _markdown(("", "found", "goal"), [(_mark(met=v.met), v.found, v.goal) for v in verdicts])
            )
        return "\n\n".join(parts)

    def json(self) -> str:
        """Return everything, each round of it."""
        content = {
            "format": 2,
            "command": self.command,
            "date": self.date,
            "rounds": self.rounds,
            "pinning": self.pinning,
            "machine": self.machine,
            "versions": self.versions,
            "disturbance": self.disturbance,
            "skipped": self.skipped,
            "results": self.results.as_json(),
            "occasions": [occasion.as_json() for occasion in self.results.occasions],
            "goals": [asdict(verdict) for verdict in judge(self.results)],
        }
        return json.dumps(content, indent=1, ensure_ascii=False) + "\n"

    def write_results(self, path: Path = RESULTS_FILE) -> None:
        """Replace the section of RESULTS.md between the two marks."""
        replace_section(path, self.markdown())

    def _circumstances(self, bullet: str) -> str:
        lines = [
            f"{self.date}, `{self.command}`, medians of {self.rounds} with the range of the rounds"
            if self.rounds > 1
            else f"{self.date}, `{self.command}`, one round",
            "; ".join(self.machine.values()),
            self.pinning,
            *(
                f"{key}: " + ", ".join(f"{name} {number}" for name, number in found.items())
                for key, found in self.versions.items()
            ),
            f"used by others meanwhile: {self.disturbance:.0%} of the machine",
            *(f"left out, {key}: {reason}" for key, reason in self.skipped.items()),
        ]
        return "\n".join(bullet + line for line in lines)

    def _tables(self) -> Iterable[tuple[str, tuple[str, ...], list[tuple[str, ...]]]]:
        by_shape: dict[Shape, list[Row]] = {}
        for row in self.results.rows:
            by_shape.setdefault(row.shape, []).append(row)
        for shape, rows in by_shape.items():
            memory = shape.family == "memory"
            cells = [self._memory_cells(row) if memory else self._load_cells(row) for row in rows]
            title = shape.title if memory else f"{shape.title} (unit: one {shape.unit})"
            yield title, _MEMORY_HEADER if memory else _LOAD_HEADER, cells

    def _occasions(self) -> list[tuple[str, ...]]:
        rows = []
        for occasion in self.results.occasions:
            notes = f"failed: {occasion.error.splitlines()[0]}" if occasion.error else ""
            found, extent = "", ""
            if occasion.values:
                found = f"{occasion.median:.1f} {occasion.unit}"
                extent = f"{min(occasion.values):.1f}-{max(occasion.values):.1f}"
            rows.append((occasion.title, found, extent, str(len(occasion.values)), notes))
        return rows

    def _load_cells(self, row: Row) -> tuple[str, ...]:
        notes = "; ".join(row.notes())
        if not row.samples:
            return (row.title, "failed", *[""] * 5, notes)
        return (
            row.title,
            _with_range(row.cost, lambda value: f"{value * 1e6:.1f}"),
            self._over_floor(row),
            f"{row.spread(lambda sample: sample.rate).median:,.0f}",
            f"{row.spread(lambda sample: sample.p50).median * 1e3:.2f}",
            _with_range(row.spread(lambda sample: sample.p99), lambda value: f"{value * 1e3:.2f}"),
            f"{row.spread(lambda sample: sample.client_load).median:.0%}",
            notes,
        )

    def _memory_cells(self, row: Row) -> tuple[str, ...]:
        notes = "; ".join(row.notes())
        if not row.samples:
            return (row.title, "failed", "", notes)
        return row.title, _with_range(row.cost, lambda value: f"{value / 1024:.1f}"), self._over_floor(row), notes

    def _over_floor(self, row: Row) -> str:
        ratio = self.results.ratio(row.shape.key, row.contender, "floor")
        return f"{ratio.median:.2f}" if ratio else ""


def replace_section(path: Path, section: str) -> None:
    """Replace what is between the two marks of a file."""
    text = path.read_text(encoding="utf-8")
    begin = _BEGIN.search(text)
    end = text.find(_END, begin.end()) if begin else -1
    if not begin or end < 0:
        raise BenchError(f"{path} has lost its marks: <!-- results: written by … --> and {_END}")
    path.write_text(f"{text[: begin.end()]}\n{section}\n\n{text[end:]}", encoding="utf-8")


def _mark(*, met: bool) -> str:
    return "met" if met else "NOT MET"


def _with_range(spread: Spread, show: Callable[[float], str]) -> str:
    if spread.low == spread.high:
        return show(spread.median)
    return f"{show(spread.median)} ({show(spread.low)}-{show(spread.high)})"


def _aligned(header: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    widths = [max(len(row[column]) for row in [header, *rows]) for column in range(len(header))]
    return "\n".join(
        "  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in [header, *rows]
    )


def _markdown(header: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = [header, tuple("---" for _ in header), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)
