"""Workers are killed at random instants, hundreds and thousands of them, and every message is counted.

Each accepted message takes effect once, or is repeated with the same id and an attempt that says so; no outbox is ever
seen half; and what a process does that was taken for dead has no effect when it goes on.
"""

import sys
import threading
from collections import Counter
from contextlib import ExitStack
from pathlib import Path

import pytest

from fairway.layers import LocalLayer
from fairway.layers.codec import decode_message
from tests.support.processes import ROOT, running
from tests.support.site import Site
from tests.support.swarm import Swarm
from tests.support.waiting import wait_until

# The programs start in a second or two, on a busy machine in ten times that.
pytestmark = [pytest.mark.faults, pytest.mark.timeout(180)]

CHILDREN = 6
SILENCE = 1.0
SOCKETS = 100
JOB_PAUSE = 0.004
FAULTS = ROOT / "tests" / "faults"


class Jobs:
    """Sends jobs without end, each as soon as it is accepted, and counts what comes of them."""

    def __init__(self, path: Path) -> None:
        self.layer = LocalLayer(str(path), wait=10)
        self.sent = 0
        self.parts: Counter[tuple[int, int]] = Counter()
        self.stopping = threading.Event()
        self.reader = self.layer.reader(["done"], window=32)
        self.threads = [threading.Thread(target=work) for work in (self.send, self.read)]

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *exc_info):
        self.stop()
        self.reader.pause()
        self.threads[1].join()
        self.layer.close()

    def send(self):
        while not self.stopping.wait(JOB_PAUSE):
            self.layer.send("job", {"number": self.sent})
            self.sent += 1

    def read(self):
        while delivery := self.reader.receive():
            message = decode_message(delivery.body)
            self.parts[message["number"], message["part"]] += 1
            self.reader.commit(delivery)

    def stop(self):
        self.stopping.set()
        self.threads[0].join()

    def wait_done(self):
        """Wait until both parts of every job have come."""
        wait_until(lambda: len(self.parts) >= 2 * self.sent, "the last jobs", 60)


def survive(site: Site, deaths: int, seed: int) -> None:
    """Run conversations and jobs until so many workers have died, and count."""
    record = site.folder / "deaths"
    with ExitStack() as stack:
        for arguments in ("harbour.py", site.port, SILENCE), ("nursery.py", CHILDREN, SILENCE, seed):
            script, *rest = map(str, arguments)
            stack.enter_context(running([sys.executable, FAULTS / script, site.folder, *rest], env=site.env))
            wait_until(site.hub.exists)
        jobs = stack.enter_context(Jobs(site.hub))
        with Swarm(site.port, SOCKETS, pause=0.2) as swarm:
            aim = record.stat().st_size + deaths
            wait_until(lambda: record.stat().st_size >= aim, lambda: f"{deaths} deaths; {swarm.text()}", 3 * deaths)
            jobs.stop()
            swarm.finish(60)
            jobs.wait_done()
            runs, letters = site.runs(), jobs.layer.dead_letters()
            print(f"\n{Counter(record.read_text())} deaths, {len(runs)} runs, {jobs.sent} jobs; {swarm.text()}")
            assert swarm.faults == []
    assert letters == []
    assert jobs.parts == Counter({(number, part): 1 for number in range(jobs.sent) for part in (1, 2)})
    assert site.run_twice() == []
    assert any(run.attempt > 1 for run in runs)


def test_every_message_takes_effect_once_while_workers_die(site):
    survive(site, 50, seed=1)


@pytest.mark.soak
@pytest.mark.timeout(3000)
def test_every_message_takes_effect_once_while_thousands_of_workers_die(site, soak):
    survive(site, 400 * soak, seed=soak)
