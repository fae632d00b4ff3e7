"""Workers are killed at random instants, hundreds and thousands of them, and every message is counted: on each layer.

Each accepted message takes effect once, or is repeated with the same id and an attempt that says so; no outbox is ever
seen half; and what a process does that was taken for dead has no effect when it goes on.
"""

from dataclasses import replace

import pytest

from tests.support.redis import RedisServer
from tests.support.site import Site
from tests.support.waiting import wait_until
from tests.support.waters import Voyage, Waters

# The programs start in a second or two, on a busy machine in ten times that.
pytestmark = [pytest.mark.faults, pytest.mark.timeout(180)]

CUTS = 10


def waters_of(kind: str, site: Site, redis: RedisServer | None) -> Waters:
    """One hub; two servers on one Redis; two joined hubs."""
    if redis is None:
        return Waters([f"local://{site.hub}"], life=0.02, silence=1.0, deaths=50)
    if kind == "redis":
        return Waters([redis.url] * 2, life=0.2, silence=0.6, deaths=20)
    hubs = [f"local://{site.folder}/hub-{number}.sock?upstream={redis.url}" for number in range(2)]
    return Waters(hubs, life=0.02, silence=1.0, deaths=50)


@pytest.fixture(params=["hub", "redis", "joined"])
def waters(request: pytest.FixtureRequest, site: Site) -> Waters:
    """Every kind."""
    redis = request.getfixturevalue("own_redis") if request.param != "hub" else None
    return waters_of(request.param, site, redis)


def test_every_message_takes_effect_once_while_workers_die(site, waters):
    with Voyage(site, waters, seed=1) as voyage:
        voyage.wait_deaths(waters.deaths)
        voyage.count()
    assert any(run.attempt > 1 for run in site.runs())


@pytest.mark.soak
@pytest.mark.timeout(3000)
def test_every_message_takes_effect_once_while_thousands_of_workers_die(site, waters, soak):
    with Voyage(site, waters, seed=soak) as voyage:
        voyage.wait_deaths(8 * waters.deaths * soak)
        voyage.count()


def cut_lines(kind: str, site: Site, redis: RedisServer, cuts: int) -> None:
    """Cut every connection to Redis, again and again, under load; a worker dies now and then."""
    waters = replace(waters_of(kind, site, redis), life=1.0, silence=2.0)
    with Voyage(site, waters, seed=cuts) as voyage:
        for _ in range(cuts):
            answers = voyage.swarm.answers
            wait_until(lambda answers=answers: voyage.swarm.answers > answers + 20, voyage.swarm.text, 60)
            redis.kill_clients()
        voyage.count()


@pytest.mark.parametrize("kind", ["redis", "joined"])
def test_every_message_takes_effect_once_while_connections_to_redis_are_cut(site, own_redis, kind):
    cut_lines(kind, site, own_redis, CUTS)


@pytest.mark.soak
@pytest.mark.timeout(3000)
@pytest.mark.parametrize("kind", ["redis", "joined"])
def test_every_message_takes_effect_once_while_connections_to_redis_are_cut_for_long(site, own_redis, kind, soak):
    cut_lines(kind, site, own_redis, 20 * CUTS * soak)
