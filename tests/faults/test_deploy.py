"""The promise on which Fairway stands: the code restarts, the sockets stay. Real programs, 1,000 sockets, `kill -9`."""

import contextlib
import random

import pytest

from tests.support.processes import Program
from tests.support.site import Site, kill_one
from tests.support.swarm import Swarm

pytestmark = pytest.mark.faults

MOST_KILLS = 50


def check(swarm: Swarm, site: Site) -> None:
    """Nothing was closed, lost, out of order, half sent, or handled twice without saying so."""
    swarm.finish()
    print(f"\n{swarm.text()}")
    assert swarm.faults == []
    assert swarm.missing() == (0, 0, 0)
    assert site.run_twice() == []


def kill_until_it_hurts(swarm: Swarm, workers: Program) -> None:
    """Kill worker processes until one has held messages: then answers of a second attempt come."""
    repeated, kills = swarm.repeated, 0
    while swarm.repeated == repeated and kills < MOST_KILLS:
        kill_one(workers.pid)
        kills += 1
        swarm.wait_answers(200)
    assert swarm.repeated > repeated


def test_a_thousand_conversations_go_on_while_workers_are_killed_and_reloaded(site):
    with site.serve(), site.workers() as old, Swarm(site.port, pause=2) as swarm:
        kill_until_it_hurts(swarm, old)
        with site.workers() as new:
            assert old.stop() == 0
            swarm.wait_answers(200)
            kill_until_it_hurts(swarm, new)
            check(swarm, site)


@pytest.mark.soak
@pytest.mark.timeout(3000)
def test_a_thousand_conversations_go_on_for_long(site, soak):
    """`make soak` reloads 20 times and kills 100 times; its short form a quarter and a fifth of that."""
    reloads, kills = (20, 5) if soak > 1 else (5, 4)
    with contextlib.ExitStack() as stack, site.serve(), Swarm(site.port) as swarm:
        workers = stack.enter_context(site.workers())
        for _ in range(reloads):
            for _ in range(kills):
                swarm.wait_answers(random.randrange(100, 1000))
                kill_one(workers.pid)
            old, workers = workers, stack.enter_context(site.workers())
            assert old.stop() == 0
        assert swarm.repeated
        check(swarm, site)
