"""Workers are killed at random instants, hundreds and thousands of them, and every message is counted: on each layer.

Each accepted message takes effect once, or is repeated with the same id and an attempt that says so; no outbox is ever
seen half; and what a process does that was taken for dead has no effect when it goes on.
"""

import pytest

from tests.support.redis import RedisServer
from tests.support.site import Site
from tests.support.waiting import wait_until
from tests.support.waters import Voyage, Waters

# The programs start in a second or two, on a busy machine in ten times that.
pytestmark = [pytest.mark.faults, pytest.mark.timeout(180)]

CUTS = 10


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


def test_every_message_takes_effect_once_while_workers_die(site, waters):
    with Voyage(site, waters, seed=1) as voyage:
        voyage.wait_deaths(waters.deaths)
        voyage.count()


@pytest.mark.soak
@pytest.mark.timeout(3000)
def test_every_message_takes_effect_once_while_thousands_of_workers_die(site, waters, soak):
    with Voyage(site, waters, seed=soak) as voyage:
        voyage.wait_deaths(8 * waters.deaths * soak)
        voyage.count()


def cut_lines(site: Site, redis: RedisServer, cuts: int) -> None:
    """Cut every connection to Redis, again and again, under load."""
    with Voyage(site, Waters([redis.url] * 2, life=1.0, silence=2.0, deaths=0), seed=cuts) as voyage:
        for _ in range(cuts):
            answers = voyage.swarm.answers
            wait_until(lambda answers=answers: voyage.swarm.answers > answers + 20, voyage.swarm.text, 60)
            redis.kill_clients()
        voyage.count()


def test_every_message_takes_effect_once_while_connections_to_redis_are_cut(site, own_redis):
    cut_lines(site, own_redis, CUTS)


@pytest.mark.soak
@pytest.mark.timeout(3000)
def test_every_message_takes_effect_once_while_connections_to_redis_are_cut_for_long(site, own_redis, soak):
    cut_lines(site, own_redis, 20 * CUTS * soak)
