"""Several processes under one parent. What workers do in them is told in commands/test_runworker.py."""

import os
import re
import signal
from pathlib import Path
from textwrap import dedent

import pytest

from tests.support.processes import running_python
from tests.support.waiting import wait_until

CHILD = """
import os, signal, sys, time
from fairway.supervisor.notify import Notifier
notifier = Notifier()
def end(*args):
    print("child ends", flush=True)
    if "{kind}" != "deaf":
        sys.exit(0)
signal.signal(signal.SIGTERM, end)
if "{kind}" not in ("broken", "never ready"):
    notifier.ready()
print(f"child {{os.getpid()}}\\n", end="", flush=True)
if "{kind}" == "broken":
    sys.exit(7)
notifier.when_supervisor_dies(lambda: os._exit(0))
while True:
    time.sleep(0.01)
"""

KEEPER = """
import sys
from fairway.management.keeper import keep_workers
sys.exit(keep_workers([sys.executable, sys.argv[1]], 2, 60))
"""


@pytest.fixture
def keep(tmp_path):
    def keep(kind):
        (tmp_path / "keeper.py").write_text(dedent(KEEPER))
        (tmp_path / "child.py").write_text(CHILD.format(kind=kind))
        return running_python(tmp_path / "keeper.py", tmp_path / "child.py")

    return keep


def children(program):
    return [int(pid) for pid in re.findall(r"child (\d+)\n", program.output())]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_stops_all(keep, number):
    with keep("good") as keeper:
        wait_until(lambda: len(children(keeper)) == 2)
        assert keeper.stop(number) == 0
        assert keeper.output().count("child ends") == 2


def test_what_dies_is_started_again(keep):
    with keep("good") as keeper:
        wait_until(lambda: len(children(keeper)) == 2)
        os.kill(children(keeper)[0], signal.SIGKILL)
        wait_until(lambda: len(children(keeper)) == 3)
        assert keeper.stop() == 0


def test_a_child_that_cannot_start_ends_all(keep):
    with keep("broken") as keeper:
        assert keeper.process.wait(30) == 1
        assert "ended before it was ready" in keeper.output()


def test_a_signal_while_they_start_stops_all(keep):
    with keep("never ready") as keeper:
        wait_until(lambda: len(children(keeper)) == 2)
        assert keeper.stop() == 0


def test_a_second_signal_kills_all(keep):
    with keep("deaf") as keeper:
        wait_until(lambda: len(children(keeper)) == 2)
        keeper.process.send_signal(signal.SIGTERM)
        keeper.wait_for_output("child ends")
        keeper.process.send_signal(signal.SIGTERM)
        assert keeper.process.wait(30) == 128 + signal.SIGTERM
        for child in children(keeper):
            wait_until(lambda child=child: not is_alive(child))


def test_its_death_is_the_end_of_the_children(keep):
    with keep("good") as keeper:
        wait_until(lambda: len(children(keeper)) == 2)
        keeper.process.kill()
        for child in children(keeper):
            wait_until(lambda child=child: not is_alive(child))


def is_alive(pid):
    """Whether a process runs; one whose parent has not asked for it yet does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
