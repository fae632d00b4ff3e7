"""Workers are killed at random instants, hundreds and thousands of them, and every message is counted: on each layer.

Each accepted message takes effect once, or is repeated with the same id and an attempt that says so; no outbox is ever
seen half; and what a process does that was taken for dead has no effect when it goes on.
"""

import sys
import threading
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass

import pytest

from fairway.layers.codec import decode_message
from tests.support.berths import reach
from tests.support.processes import ROOT, Program, free_port, running
from tests.support.redis import RedisServer
from tests.support.site import Site
from tests.support.swarm import Swarm
from tests.support.waiting import wait_until

# The programs start in a second or two, on a busy machine in ten times that.
pytestmark = [pytest.mark.faults, pytest.mark.timeout(180)]

CHILDREN = 6
SOCKETS = 100
JOB_PAUSE = 0.004
FAULTS = ROOT / "tests" / "faults"


@dataclass(frozen=True)
class Waters:
    """Where servers and workers meet."""

    urls: Sequence[str]
    """A server each."""
    life: float
    """Seconds between two deaths, on average."""
    silence: float
    """Seconds without a sign. A hub notices most deaths at once; for Redis, what the dead holds is stuck so long."""
    deaths: int
    """In the short form. The long one has eight times as many, and that for each unit of `FAIRWAY_SOAK`."""


@pytest.fixture(params=["hub", "redis", "joined"])
def waters(request: pytest.FixtureRequest, site: Site) -> Waters:
    """One hub; two servers on one Redis; two joined hubs."""
    if request.param == "hub":
        return Waters([f"local://{site.hub}"], life=0.02, silence=1.0, deaths=50)
    redis: RedisServer = request.getfixturevalue("own_redis")
    if request.param == "redis":
        return Waters([redis.url] * 2, life=0.2, silence=0.6, deaths=20)
    hubs = [f"local://{site.folder}/hub-{number}.sock?upstream={redis.url}" for number in range(2)]
    return Waters(hubs, life=0.02, silence=1.0, deaths=50)


class Jobs:
    """Sends jobs without end, each as soon as it is accepted, and counts what comes of them, perhaps elsewhere."""

    def __init__(self, sending: str, reading: str) -> None:
        self.layer = reach(sending, 10)
        self.there = reach(reading, 10)
        self.sent = 0
        self.parts: Counter[tuple[int, int]] = Counter()
        self.stopping = threading.Event()
        self.reader = self.there.reader(["done"], window=32)
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
        self.there.close()

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


def survive(site: Site, waters: Waters, deaths: int, seed: int) -> None:
    """Run conversations and jobs until so many workers have died, and count."""
    record = site.folder / "deaths"
    urls, ports = waters.urls, [site.port, *(free_port() for _ in waters.urls[1:])]
    with ExitStack() as stack:

        def start(*arguments: object) -> Program:
            script, *rest = map(str, arguments)
            return stack.enter_context(running([sys.executable, FAULTS / script, *rest], env=site.env))

        for url, port in zip(urls, ports, strict=True):
            start("harbour.py", url, port, waters.silence).wait_for_output("serving")
        start("nursery.py", site.folder, CHILDREN, waters.life, waters.silence, seed, *urls)
        wait_until(record.exists)
        jobs = stack.enter_context(Jobs(urls[0], urls[-1]))
        has_one_broker = len(urls) == 1
        with Swarm(site.port, SOCKETS, pause=0.2, others=ports[1:], has_one_broker=has_one_broker) as swarm:
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


def test_every_message_takes_effect_once_while_workers_die(site, waters):
    survive(site, waters, waters.deaths, seed=1)


@pytest.mark.soak
@pytest.mark.timeout(3000)
def test_every_message_takes_effect_once_while_thousands_of_workers_die(site, waters, soak):
    survive(site, waters, 8 * waters.deaths * soak, seed=soak)
