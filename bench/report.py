"""Results for people and programs: a table for the terminal, the same in Markdown for RESULTS.md, and JSON."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path

from bench.errors import BenchError
from bench.goals import judge
from bench.plan import Shape
from bench.results import Results, Row
from bench.tables import table

RESULTS_FILE = Path(__file__).with_name("RESULTS.md")
_BEGIN = re.compile(r"<!-- results: written by [^>]+ -->\n")
_END = "<!-- end of results -->"

_OCCASIONS_HEADER = ("what", "median", "range", "times tried", "notes")


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
            *self._versions(),
            f"used by others meanwhile: {self.disturbance:.0%} of the machine",
            *(f"left out, {key}: {reason}" for key, reason in self.skipped.items()),
        ]
        return "\n".join(bullet + line for line in lines)

    def _versions(self) -> Iterable[str]:
        """Return what was measured in which version; a line for all contenders that have the same."""
        keys: dict[str, list[str]] = {}
        for key, found in self.versions.items():
            keys.setdefault(", ".join(f"{name} {number}" for name, number in found.items()), []).append(key)
        return (f"{', '.join(contenders)}: {text}" for text, contenders in keys.items())

    def _tables(self) -> Iterable[tuple[str, tuple[str, ...], list[tuple[str, ...]]]]:
        by_shape: dict[Shape, list[Row]] = {}
        for row in self.results.rows:
            by_shape.setdefault(row.shape, []).append(row)
        for shape, rows in by_shape.items():
            yield table(self.results, shape, rows)

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


def _aligned(header: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    widths = [max(len(row[column]) for row in [header, *rows]) for column in range(len(header))]
    return "\n".join(
        "  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in [header, *rows]
    )


def _markdown(header: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = [header, tuple("---" for _ in header), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)
