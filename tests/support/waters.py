"""Servers, workers that die, conversations and jobs on any layer, and the counts that must be right in the end."""

import contextlib
import sys
import threading
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from fairway.errors import DeliveryLost, LayerUnavailable
from fairway.layers.codec import decode_message
from tests.support.berths import reach
from tests.support.processes import ROOT, Program, free_port, running
from tests.support.site import Site
from tests.support.swarm import Swarm
from tests.support.waiting import wait_until

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


class Jobs:
    """Sends jobs without end, each as soon as it is accepted, and counts what comes of them, perhaps elsewhere."""

    def __init__(self, sending: str, reading: str) -> None:
        self.layer = reach(sending, 10)
        self.there = reach(reading, 10)
        self.sent = 0
        self.uncertain: set[int] = set()
        """Jobs of which it is not known whether they were accepted, so they were sent once more."""
        self.parts: Counter[tuple[int, int]] = Counter()
        self._seen: set[str] = set()
        self.stopping = threading.Event()
        self.reader = self.there.reader(["done"], window=32)
        self.threads = [threading.Thread(target=work) for work in (self.send, self.read)]

    def __enter__(self) -> Self:
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.stop()
        self.reader.pause()
        self.threads[1].join()
        self.layer.close()
        self.there.close()

    def send(self) -> None:
        """Send until it is stopped."""
        while not self.stopping.wait(JOB_PAUSE):
            try:
                self.layer.send("job", {"number": self.sent})
            except LayerUnavailable:
                self.uncertain.add(self.sent)
                continue
            self.sent += 1

    def read(self) -> None:
        """Count what was done. What is delivered again, because it was not committed, says so and counts once."""
        while delivery := self.reader.receive():
            if delivery.envelope.attempt == 1 or delivery.envelope.id not in self._seen:
                message = decode_message(delivery.body)
                self.parts[message["number"], message["part"]] += 1
            self._seen.add(delivery.envelope.id)
            with contextlib.suppress(DeliveryLost):
                self.reader.commit(delivery)

    def stop(self) -> None:
        """Send no more."""
        self.stopping.set()
        self.threads[0].join()

    def wait_done(self) -> None:
        """Wait until both parts of every job have come."""
        wait_until(lambda: len(self.parts) >= 2 * self.sent, lambda: f"the last jobs: {self.missing()[:10]}", 60)

    def missing(self) -> list[tuple[int, int]]:
        """The parts that have not come."""
        return [(number, part) for number in range(self.sent) for part in (1, 2) if not self.parts[number, part]]

    def repeated(self) -> list[tuple[int, int]]:
        """The parts that have come more than once, though their job was accepted once."""
        return [part for part, times in self.parts.items() if times > 1 and part[0] not in self.uncertain]


class Voyage:
    """All that runs. Use it in a `with`; `count` ends the work and looks whether everything has come out right."""

    def __init__(self, site: Site, waters: Waters, seed: int) -> None:
        self.site = site
        self._waters = waters
        self._seed = seed
        self._record = site.folder / "deaths"
        self._life = contextlib.ExitStack()
        self.jobs: Jobs
        self.swarm: Swarm

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as life:
            self._start(life)
            self._life = life.pop_all()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._life.close()

    def _start(self, life: contextlib.ExitStack) -> None:
        site, waters = self.site, self._waters
        ports = [site.port, *(free_port() for _ in waters.urls[1:])]

        def start(*arguments: object) -> Program:
            script, *rest = map(str, arguments)
            return life.enter_context(running([sys.executable, FAULTS / script, *rest], env=site.env))

        for url, port in zip(waters.urls, ports, strict=True):
            start("harbour.py", url, port, waters.silence).wait_for_output("serving")
        start("nursery.py", site.folder, CHILDREN, waters.life, waters.silence, self._seed, *waters.urls)
        wait_until(self._record.exists)
        self.jobs = life.enter_context(Jobs(waters.urls[0], waters.urls[-1]))
        has_one_broker = len(ports) == 1
        swarm = Swarm(site.port, SOCKETS, pause=0.2, others=ports[1:], has_one_broker=has_one_broker)
        self.swarm = life.enter_context(swarm)

    def wait_deaths(self, deaths: int) -> None:
        """Wait until so many more workers have died."""
        aim = self._record.stat().st_size + deaths
        wait_until(
            lambda: self._record.stat().st_size >= aim, lambda: f"{deaths} deaths; {self.swarm.text()}", 3 * deaths
        )

    def count(self) -> None:
        """Everything that was said is answered, in its order and once; every job is done once; no outbox is half."""
        jobs, site, swarm = self.jobs, self.site, self.swarm
        jobs.stop()
        swarm.finish(60)
        jobs.wait_done()
        runs, deaths = site.runs(), Counter(self._record.read_text())
        uncertain = f"{len(jobs.uncertain)} of them sent again"
        print(f"\n{deaths} deaths, {len(runs)} runs, {jobs.sent} jobs, {uncertain}; {swarm.text()}")
        assert swarm.faults == []
        assert jobs.layer.dead_letters() == []
        assert jobs.missing() == jobs.repeated() == []
        assert site.run_twice() == []
