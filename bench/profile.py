"""Where the time goes: CPU per message of the server and of the worker process, by room of the house.

How much there is comes from the operating system, while nobody looks: the CPU time of each process over the messages of
a few slices; and which part of it was the kernel's from perf (without it from the ticks of /proc, which are far off for
threads that wake often). How it is shared out comes from py-spy, which then looks some hundred times a second at the
thread that holds the interpreter; each sample counts for the innermost function that is Fairway's, Django's or the
application's. Samples inside the C library are left out, since most of them are system calls, which are counted
already. So the sums are exact and the shares are samples.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
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
from bench.processes import Process
from bench.views import HttpExercise

RATE = 250
SECONDS = 8
COUNTED = 4.0  # Seconds of load over which CPU is counted.
FUNCTIONS = 25
PATIENCE = 60.0

# Which room a file belongs to; the first that matches counts.
ROOMS = (
    ("fairway/wire/hub.py", "hub: frames"),
    ("fairway/layers/hub/joined/", "joined hubs: upstream"),
    ("fairway/layers/hub/", "hub: lines, calls, sessions"),
    ("fairway/layers/redis/inbox", "Redis: inboxes"),
    ("fairway/layers/redis/commands.py", "Redis: commands and entries"),
    ("fairway/layers/redis/entries.py", "Redis: commands and entries"),
    ("fairway/layers/redis/wire.py", "Redis: wire"),
    ("fairway/layers/redis/", "Redis: line, sessions, operations"),
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
REDIS = "Redis itself"
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
        exercise = Exercise(shape, running.ports, accounts, cookie=running.cookie)
    try:
        for process in running.processes:
            user, system = _cost(process, contender.folder, exercise)
            portrait = Portrait(process.name, user * 1e6, system * 1e6)
            if process.name.endswith(" redis"):
                portrait.rooms[REDIS] = 1
            else:
                for stack, count in _look(process, contender.folder, exercise, spy):
                    portrait.add(stack, count)
            yield portrait
    finally:
        exercise.close()


def _cost(process: Process, folder: Path, exercise: Exercise | HttpExercise) -> tuple[float, float]:
    """Return the seconds of user and of system time for each message."""
    cost = _drive(process, exercise)
    perf = shutil.which("perf")
    if perf is None:
        before = _ticks(process.pid)
        _drive(process, exercise)
        user, system = (now - then for now, then in zip(_ticks(process.pid), before, strict=True))
    else:
        user, system = _samples(process, folder / "perf.data", exercise, perf)
    share = system / (user + system or 1)
    return cost * (1 - share), cost * share


def _drive(process: Process, exercise: Exercise | HttpExercise) -> float:
    """Drive the load for a while; return the process's CPU seconds for each message."""
    before, units = process.cpu(), exercise.units
    deadline = time.monotonic() + COUNTED
    while time.monotonic() < deadline:
        exercise.slice()
    return (process.cpu() - before) / (exercise.units - units)


def _samples(process: Process, data: Path, exercise: Exercise | HttpExercise, perf: str) -> tuple[int, int]:
    """Let perf look at a process under load; return how often it was in user space and how often in the kernel."""
    # The clock, and not a counter of the processor: in a virtual machine that one would make thread switches dearer.
    argv = [perf, "record", "-q", "-e", "cpu-clock", "-F", "997", "-p", str(process.pid), "-o", str(data)]
    with subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as watching:
        _drive(process, exercise)
        watching.send_signal(signal.SIGINT)
        watching.wait(PATIENCE)
    listed = subprocess.run([perf, "script", "-i", str(data), "-F", "ip"], capture_output=True, text=True, check=False)
    addresses = [int(word, 16) for word in listed.stdout.split()]
    system = sum(address >> 63 for address in addresses)
    return len(addresses) - system, system


def _look(
    process: Process, folder: Path, exercise: Exercise | HttpExercise, spy: str
) -> Iterator[tuple[list[str], int]]:
    """Let py-spy look at a process under load; yield stacks and how often each was seen."""
    output = folder / f"{process.name.replace(' ', '-')}.stacks"
    argv = [spy, "record", "--pid", str(process.pid), "--native", "--gil", "--format", "raw", "--output", str(output)]
    argv += ["--rate", str(RATE), "--duration", str(SECONDS)]
    with (folder / "py-spy.log").open("wb") as log, subprocess.Popen(argv, stdout=log, stderr=log) as watching:
        deadline = time.monotonic() + SECONDS + PATIENCE
        while watching.poll() is None:
            if time.monotonic() > deadline:
                watching.kill()
                raise BenchError("py-spy does not end")
            exercise.slice()
    if watching.returncode:
        raise BenchError(f"py-spy failed: {(folder / 'py-spy.log').read_text(errors='replace')[-500:]}")
    for line in output.read_text().splitlines():
        stack, _, count = line.rpartition(" ")
        yield stack.split(";"), int(count)


def _ticks(pid: int) -> tuple[int, int]:
    """Return the ticks of user and of system time so far."""
    _, _, rest = Path(f"/proc/{pid}/stat").read_text().rpartition(")")
    return int(rest.split()[11]), int(rest.split()[12])


def _table(portraits: list[Portrait]) -> str:
    order = [*dict.fromkeys(room for _, room in ROOMS), REDIS, LOOP]
    columns = [portrait.microseconds(portrait.rooms) for portrait in portraits]
    lines = [[room, *(column.get(room, 0.0) for column in columns)] for room in order]
    lines.append([SYSTEM, *(portrait.system for portrait in portraits)])
    lines.append(["together", *(portrait.user + portrait.system for portrait in portraits)])
    names = [portrait.name.rpartition(" ")[2] for portrait in portraits]
    text = [f"| room | {' | '.join(names)} | all |", "| --- |" + " ---: |" * (len(names) + 1)]
    for room, *values in lines:
        if any(values):
            text.append(f"| {room} | {' | '.join(f'{value:.1f}' for value in values)} | {sum(values):.1f} |")
    return "\n".join(text)
