"""Rounds and turns: who is measured when.

The speed of a machine changes by the second: on a shared host the cost of a system call may double while nothing in
the machine itself has changed. So each shape is opened on all contenders at once, and they take turns slice by slice,
half a second each; ratios are drawn between slices of the same turn. The order changes from round to round. Idle
memory is measured on fresh servers, one at a time.

Servers share one core and the client has another; only in the family "rate" they share all cores, as they would on a
host of their own.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

from bench.contenders import Contender, Running
from bench.errors import BenchError
from bench.exercise import Exercise, Sample, measure_memory
from bench.later import DelayExercise, delay_exercise
from bench.messages import MessageExercise
from bench.plan import DATABASE, DELAY_SERVER, FAMILIES, HTTP, ON_ALL_CORES, Family, Shape, environment
from bench.processes import affinity
from bench.results import Results, Row
from bench.views import HttpExercise

AnyExercise = Exercise | HttpExercise | MessageExercise | DelayExercise


@dataclass
class Runner:
    """A run: contenders, shapes, rounds, and the cores that each side is pinned to."""

    contenders: Sequence[Contender]
    shapes: Sequence[Shape]
    rounds: int
    server_cores: set[int]
    all_cores: set[int]
    say: Callable[[str], None]
    results: Results = field(default_factory=Results)
    _rows: dict[tuple[str, str], Row] = field(default_factory=dict)
    _started: float = field(default_factory=time.monotonic)
    _done: int = 0

    def run(self) -> Results:
        """Measure everything; what fails becomes a note in its row."""
        for shape in self.shapes:
            for contender in self.contenders:
                if contender.does(shape):
                    self._rows[shape.key, contender.key] = row = Row(shape, contender.key, contender.title)
                    self.results.rows.append(row)
        for number in range(1, self.rounds + 1):
            for family in FAMILIES:
                self._run_family(number, family)
        return self.results

    def _run_family(self, number: int, family: Family) -> None:
        shapes = [shape for shape in self.shapes if shape.family == family]
        if family == "memory":
            for shape in shapes:
                for contender in self._order(number, [shape]):
                    with self._servers([contender], family) as running:
                        self._memory_turn(number, shape, contender, running)
        elif contenders := self._order(number, shapes):
            with self._placed(family), self._servers(contenders, family) as running:
                for shape in shapes:
                    self._turns(number, shape, running)

    def _order(self, number: int, shapes: Sequence[Shape]) -> list[Contender]:
        """Return who takes part in some of the shapes, another one first in each round."""
        found = [contender for contender in self.contenders if any(contender.does(shape) for shape in shapes)]
        start = number % len(found) if found else 0
        return [*found[start:], *found[:start]]

    def _cores(self, family: Family) -> set[int]:
        """Return the cores of the servers."""
        return self.all_cores if family in ON_ALL_CORES else self.server_cores

    @contextmanager
    def _placed(self, family: Family) -> Iterator[None]:
        """Let the client use all cores where the servers do."""
        with affinity(self.all_cores if family in ON_ALL_CORES else os.sched_getaffinity(0)):
            yield

    @contextmanager
    def _servers(self, contenders: Sequence[Contender], family: Family) -> Iterator[dict[str, Running | str]]:
        """Start the contenders, and end them whatever happens; whoever does not start is there as the reason why."""
        running: dict[str, Running | str] = {}
        try:
            for contender in contenders:
                running[contender.key] = self._start(contender, family)
            yield running
        finally:
            _stop_all(running)

    def _start(self, contender: Contender, family: Family) -> Running | str:
        try:
            with affinity(self._cores(family)):
                return contender.start(environment(family))
        except (BenchError, OSError) as error:
            self.say(f"{contender.key} does not start: {error}")
            return f"does not start: {error}"

    def _memory_turn(self, number: int, shape: Shape, contender: Contender, running: dict[str, Running | str]) -> None:
        row = self._rows[shape.key, contender.key]
        with self._failures(number, row, contender, running):
            server = _started(running[contender.key])
            self._keep(number, row, measure_memory(shape, server.ports, server.accounts()))

    def _turns(self, number: int, shape: Shape, running: dict[str, Running | str]) -> None:
        """Drive the shape on all contenders in turns; whoever fails is out of this round of it."""
        exercises: dict[str, AnyExercise] = {}
        contenders = self._order(number, [shape])
        try:
            for contender in contenders:
                with self._failures(number, self._rows[shape.key, contender.key], contender, running):
                    server = _started(running[contender.key])
                    exercises[contender.key] = _exercise(shape, server)
            for _ in range(shape.slices):
                for contender in contenders:
                    if contender.key in exercises:
                        with self._failures(
                            number, self._rows[shape.key, contender.key], contender, running, exercises
                        ):
                            exercises[contender.key].slice()
            for contender in contenders:
                if contender.key in exercises:
                    self._keep(number, self._rows[shape.key, contender.key], exercises[contender.key].sample())
        finally:
            for key, exercise in exercises.items():
                _close(exercise, key, self.say)

    @contextmanager
    def _failures(
        self,
        number: int,
        row: Row,
        contender: Contender,
        running: dict[str, Running | str],
        exercises: dict[str, AnyExercise] | None = None,
    ) -> Iterator[None]:
        """Turn what goes wrong for one contender into a note in its row; start it anew, its state is unknown."""
        try:
            yield
        except (BenchError, OSError, ValueError) as error:
            row.errors[number] = str(error)
            self._tell(number, row, f"failed: {error}")
            if exercises is not None and contender.key in exercises:
                _close(exercises.pop(contender.key), contender.key, self.say)
            server = running[contender.key]
            if isinstance(server, Running):
                _stop_all({contender.key: server})
                running[contender.key] = self._start(contender, row.shape.family)

    def _keep(self, number: int, row: Row, sample: Sample) -> None:
        row.samples[number] = sample
        self._tell(number, row, _summary(row.shape, sample))

    def _tell(self, number: int, row: Row, text: str) -> None:
        self._done += 1
        seconds = int(time.monotonic() - self._started)
        total = len(self._rows) * self.rounds
        place = f"[{self._done:3d}/{total} {seconds // 60:2d}:{seconds % 60:02d}]"
        self.say(f"{place} round {number} {row.shape.key:15s} {row.contender:11s} {text}")


def _started(server: Running | str) -> Running:
    if isinstance(server, str):
        raise BenchError(server)
    return server


def _exercise(shape: Shape, server: Running) -> AnyExercise:
    if shape.family == "message":
        return MessageExercise(shape, server.ends, server.accounts())
    if shape.family == "delay" and server.arrivals:
        return delay_exercise(
            shape,
            server.ends[0],
            server.arrivals,
            lambda: {name: server.accounts_of(name) for name in (DELAY_SERVER, DATABASE)},
        )
    if shape.family in HTTP:
        return HttpExercise(shape, server.port, server.accounts())
    return Exercise(shape, server.ports, server.accounts(), cookie=server.cookie)


def _close(exercise: AnyExercise, key: str, say: Callable[[str], None]) -> None:
    try:
        exercise.close()
    except (BenchError, OSError) as error:
        say(f"closing the sockets of {key}: {error}")


def _stop_all(running: dict[str, Running | str]) -> None:
    """End every server. A second Ctrl-C while the first is being handled must not leave one behind."""
    for server in running.values():
        if isinstance(server, Running):
            with suppress(BenchError):
                try:
                    server.stop()
                except KeyboardInterrupt:
                    server.stop()


def _summary(shape: Shape, sample: Sample) -> str:
    if shape.family == "memory":
        return f"{sample.memory / 1024:.1f} KiB per connection"
    return (
        f"{sample.cost * 1e6:.1f} µs per {shape.unit}, {sample.rate:,.0f}/s, p50 {sample.p50 * 1e3:.1f} ms, "
        f"p99 {sample.p99 * 1e3:.1f} ms, client at {sample.client_load:.0%}"
    )
