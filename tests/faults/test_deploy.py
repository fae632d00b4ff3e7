"""The promise on which Fairway stands: the code restarts, the sockets stay. Real programs, 1,000 sockets, `kill -9`."""

import random
import threading
from collections.abc import Callable

import pytest

from tests.support.site import Site, kill_one
from tests.support.swarm import Swarm

# The programs start in a second or two, on a busy machine in ten times that.
pytestmark = [pytest.mark.faults, pytest.mark.timeout(180)]

MOST_KILLS = 50


def check(swarm: Swarm, site: Site) -> None:
    """Nothing was closed, lost, out of order, half sent, or handled twice without saying so."""
    swarm.finish()
    print(f"\n{swarm.text()}")
    assert swarm.faults == []
    assert swarm.missing() == (0, 0, 0)
    assert site.run_twice() == []


def kill_until_it_hurts(swarm: Swarm, kill: Callable[[], object]) -> None:
    """Kill worker processes until one has held messages: then answers of a second attempt come."""
    repeated, kills = swarm.repeated, 0
    while swarm.repeated == repeated and kills < MOST_KILLS:
        kill()
        kills += 1
        swarm.wait_answers(200)
    assert swarm.repeated > repeated


def test_a_thousand_conversations_go_on_while_workers_are_killed_and_reloaded(site):
    with site.up(), Swarm(site.port, pause=2) as swarm:
        kill_until_it_hurts(swarm, site.kill_worker)
        site.reload()
        kill_until_it_hurts(swarm, site.kill_worker)
        check(swarm, site)


def test_conversations_go_on_while_workers_without_a_supervisor_are_replaced(site):
    """What systemd units for `fairway serve` and for `manage.py runworker` do."""
    with site.serve(), site.workers() as old, Swarm(site.port, 200, pause=0.3) as swarm:
        kill_until_it_hurts(swarm, lambda: kill_one(old.pid))
        with site.workers() as new:
            assert old.stop() == 0
            kill_until_it_hurts(swarm, lambda: kill_one(new.pid))
            check(swarm, site)


@pytest.mark.soak
@pytest.mark.timeout(3000)
def test_a_thousand_conversations_go_on_for_long(site, soak):
    """`make soak` reloads 20 times and kills 100 times, now and then in the middle of a reload; less in CI."""
    reloads, kills = (20, 4) if soak > 1 else (5, 3)
    with site.up(), Swarm(site.port) as swarm:
        for _ in range(reloads):
            for _ in range(kills):
                swarm.wait_answers(random.randrange(100, 1000))
                site.kill_worker()
            reloading = threading.Thread(target=site.reload)
            reloading.start()
            swarm.wait_answers(random.randrange(100, 1000))
            site.kill_worker()
            reloading.join()
        assert swarm.repeated
        check(swarm, site)
