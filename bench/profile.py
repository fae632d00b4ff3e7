"""Where the time goes: CPU per message of the server and of the worker process, by room of the house.

How much there is comes from the operating system, while nobody looks: user and system time of each process over the
messages of a few slices. How it is shared out comes from py-spy, which then looks some hundred times a second at the
thread that holds the interpreter; each sample counts for the innermost function that is Fairway's, Django's or the
application's. Samples inside the C library are left out, since most of them are system calls, which the operating
system has counted already. So the sums are exact and the shares are samples: good for a tenth of a microsecond.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from bench.contenders import FairwayHub, Running
from bench.errors import BenchError
from bench.exercise import Exercise
from bench.plan import HTTP, Shape, environment
from bench.views import HttpExercise

RATE = 250
SECONDS = 8
COUNTED = 4.0  # Seconds of load over which CPU is counted.
FUNCTIONS = 25
PATIENCE = 60.0

# Which room a file belongs to; the first that matches counts.
ROOMS = (
    ("fairway/wire/hub.py", "hub: frames"),
    ("fairway/layers/hub/", "hub: lines, calls, sessions"),
    ("fairway/wire/", "wire: HTTP and WebSocket"),
    ("fairway/server/gateway.py", "gateway"),
    ("fairway/server/", "server: connections, gate, fan-out"),
    ("fairway/broker/", "broker"),
    ("fairway/layers/", "layers: codec, memory"),
    ("fairway/worker/", "worker"),
    ("fairway/", "application side: channels, routing, HTTP"),
    ("django/", "Django"),
    ("bench/", "the consumer or view"),
)
LOOP = "event loop, threads, the rest of Python"
SYSTEM = "system calls"
_FRAME = re.compile(r"^(?P<name>.+) \((?P<file>[^()]+\.py):\d+\)$")


@dataclass
class Portrait:
    """One process: its CPU microseconds per message, by room and by function."""

    name: str
    user: float
    system: float
    rooms: Counter[str] = field(default_factory=Counter)
    functions: Counter[str] = field(default_factory=Counter)

    def add(self, stack: list[str], count: int) -> None:
        """Count samples of one stack, outermost frame first."""
        if "libc.so" in stack[-1]:
            return
        for text in reversed(stack):
            frame = _FRAME.match(text)
            room = frame and next((room for prefix, room in ROOMS if frame["file"].startswith(prefix)), None)
            if frame and room:
                self.rooms[room] += count
                self.functions[f"{frame['name']} ({frame['file']})"] += count
                return
        self.rooms[LOOP] += count

    def microseconds(self, counted: Counter[str]) -> dict[str, float]:
        """Return the user time of each key."""
        total = sum(self.rooms.values())
        return {key: self.user * count / total for key, count in counted.most_common()} if total else {}


def portray(contender: FairwayHub, shapes: list[Shape], say: Callable[[str], None]) -> str:
    """Print where the time goes in each shape; return the tables without the functions, in Markdown."""
    spy = shutil.which("py-spy", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}")
    if spy is None:
        raise BenchError("py-spy is not installed (pip install py-spy)")
    contender.prepare()
    tables = []
    for shape in shapes:
        running = contender.start(environment(shape.family))
        try:
            portraits = list(_portraits(contender, shape, running, spy))
        finally:
            running.stop()
        title, table = f"{shape.title}: CPU µs per {shape.unit}", _table(portraits)
        tables.append(f"### {title[:1].upper()}{title[1:]}\n\n{table}")
        say(f"\n{tables[-1]}")
        for portrait in portraits:
            say(f"\n{portrait.name}, by function:\n")
            for name, value in list(portrait.microseconds(portrait.functions).items())[:FUNCTIONS]:
                say(f"  {value:6.2f}  {name}")
    return "\n\n".join(tables)


def _portraits(contender: FairwayHub, shape: Shape, running: Running, spy: str) -> Iterator[Portrait]:
    accounts = running.accounts()
    exercise: Exercise | HttpExercise
    if shape.family in HTTP:
        exercise = HttpExercise(shape, running.port, accounts)
    else:
        exercise = Exercise(shape, running.port, accounts, cookie=running.cookie)
    try:
        pids = {process.name: process.pid for process in running.processes}
        before, units = {name: _times(pid) for name, pid in pids.items()}, exercise.units
        deadline = time.monotonic() + COUNTED
        while time.monotonic() < deadline:
            exercise.slice()
        units = exercise.units - units
        portraits = []
        for name, pid in pids.items():
            user, system = (now - then for now, then in zip(_times(pid), before[name], strict=True))
            portraits.append(Portrait(name, user / units * 1e6, system / units * 1e6))
        for portrait in portraits:
            for stack, count in _look(pids[portrait.name], portrait.name, contender.folder, exercise, spy):
                portrait.add(stack, count)
            yield portrait
    finally:
        exercise.close()


def _look(
    pid: int, name: str, folder: Path, exercise: Exercise | HttpExercise, spy: str
) -> Iterator[tuple[list[str], int]]:
    """Let py-spy look at a process under load; yield stacks and how often each was seen."""
    output = folder / f"{name.replace(' ', '-')}.stacks"
    argv = [spy, "record", "--pid", str(pid), "--native", "--gil", "--format", "raw", "--output", str(output)]
    argv += ["--rate", str(RATE), "--duration", str(SECONDS)]
    with (folder / "py-spy.log").open("wb") as log, subprocess.Popen(argv, stdout=log, stderr=log) as process:
        deadline = time.monotonic() + SECONDS + PATIENCE
        while process.poll() is None:
            if time.monotonic() > deadline:
                process.kill()
                raise BenchError("py-spy does not end")
            exercise.slice()
    if process.returncode:
        raise BenchError(f"py-spy failed: {(folder / 'py-spy.log').read_text(errors='replace')[-500:]}")
    for line in output.read_text().splitlines():
        stack, _, count = line.rpartition(" ")
        yield stack.split(";"), int(count)


def _times(pid: int) -> tuple[float, float]:
    """Return user and system seconds of a process so far."""
    _, _, rest = Path(f"/proc/{pid}/stat").read_text().rpartition(")")
    tick = os.sysconf("SC_CLK_TCK")
    return int(rest.split()[11]) / tick, int(rest.split()[12]) / tick


def _table(portraits: list[Portrait]) -> str:
    order = [*(room for _, room in ROOMS), LOOP]
    columns = [portrait.microseconds(portrait.rooms) for portrait in portraits]
    lines = [[room, *(column.get(room, 0.0) for column in columns)] for room in order]
    lines.append([SYSTEM, *(portrait.system for portrait in portraits)])
    lines.append(["together", *(portrait.user + portrait.system for portrait in portraits)])
    names = [portrait.name.rpartition(" ")[2] for portrait in portraits]
    text = [f"| room | {' | '.join(names)} | both |", "| --- |" + " ---: |" * (len(names) + 1)]
    for room, *values in lines:
        if any(values):
            text.append(f"| {room} | {' | '.join(f'{value:.1f}' for value in values)} | {sum(values):.1f} |")
    return "\n".join(text)
