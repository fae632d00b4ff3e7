"""Two hosts whose hubs are joined by Redis: the hub of one is killed, or Redis goes, and no socket of either closes.

Every room has members on both hosts, so that whoever hears everything has heard the other host, too.
"""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass

import pytest

from tests.support.processes import Program
from tests.support.redis import RedisServer
from tests.support.site import Site, children, is_alive
from tests.support.swarm import Swarm
from tests.support.waiting import wait_until

# The programs start in a second or two, on a busy machine in ten times that.
pytestmark = [pytest.mark.faults, pytest.mark.timeout(180)]

SOCKETS = 100


@dataclass
class Harbours:
    """Both hosts, and clients of both."""

    sites: tuple[Site, Site]
    first: Program
    """The server of the first host, whose children hold its sockets."""
    options: tuple[str, ...]
    """What starts it again."""
    swarm: Swarm
    redis: RedisServer

    def hear_rooms(self) -> None:
        """Whatever is told to a room from now on reaches all of it."""
        self.swarm.speak()
        self.swarm.wait_answers(2 * SOCKETS)
        self.swarm.finish()

    def is_up(self, site: Site) -> bool:
        """Whether a host reaches the upstream."""
        up: bool = site.status()["server"]["layer"]["upstream"]["up"]
        return up


@pytest.fixture
def harbours(site: Site, tmp_path_factory: pytest.TempPathFactory, own_redis: RedisServer) -> Iterator[Harbours]:
    """Two running hosts."""
    other = Site(tmp_path_factory.mktemp("o"))
    upstream = f"upstream={own_redis.url}?prefix=joined"
    options = tuple((f"--layer=local://{one.hub}?{upstream}", "--processes=2") for one in (site, other))
    with ExitStack() as stack:
        for one in (site, other):
            stack.enter_context(one.workers())
        first, _ = [stack.enter_context(one.serve(*given)) for one, given in zip((site, other), options, strict=True)]
        swarm = Swarm(site.port, SOCKETS, pause=0.5, others=[other.port], has_one_broker=False)
        stack.enter_context(swarm)
        yield Harbours((site, other), first, options[0], swarm, own_redis)


def test_a_hub_that_is_killed_costs_no_socket_on_either_host(harbours: Harbours) -> None:
    swarm, (site, other) = harbours.swarm, harbours.sites
    orphans = children(harbours.first.pid)
    swarm.wait_answers(2 * SOCKETS)
    harbours.first.process.kill()
    harbours.first.process.wait()
    with site.serve(*harbours.options):
        swarm.wait_answers(SOCKETS)
        swarm.rest()
        swarm.forgive()
        harbours.hear_rooms()
        print(f"\n{swarm.text()}")
        assert all(map(is_alive, orphans))
        assert swarm.faults == []
        assert site.run_twice("websocket.") == other.run_twice("websocket.") == []
        swarm.leave()


def test_a_redis_that_comes_back_empty_costs_no_answer(harbours: Harbours) -> None:
    """Conversations go on meanwhile, on each host by itself."""
    swarm = harbours.swarm
    swarm.wait_answers(SOCKETS)
    harbours.redis.kill()
    wait_until(lambda: not any(map(harbours.is_up, harbours.sites)), "both hosts to miss Redis")
    swarm.wait_answers(2 * SOCKETS)
    harbours.redis.start()
    wait_until(lambda: all(map(harbours.is_up, harbours.sites)), "both hosts to find it")
    swarm.rest()
    swarm.forgive()
    harbours.hear_rooms()
    print(f"\n{swarm.text()}")
    assert swarm.faults == []
