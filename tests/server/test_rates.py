"""Token buckets and the doorman, with a clock of the test's own."""

import pytest

from fairway.limits import UNLIMITED, RateLimits
from fairway.server import rates
from fairway.server.rates import Bucket, Doorman
from tests.server.support import await_until, limits, request, serving


def test_a_bucket_holds_its_burst_and_fills_at_its_rate():
    bucket = Bucket(2, 3)
    assert [bucket.take(100.0) for _ in range(4)] == [True, True, True, False]
    assert bucket.take(100.5)
    assert not bucket.take(100.5)
    assert [bucket.take(1000.0) for _ in range(4)] == [True, True, True, False]


def test_an_unlimited_rate_keeps_nothing():
    assert Bucket.of(UNLIMITED, 5) is None
    assert Bucket.of(0, 1) is not None


def test_the_number_of_all_connections():
    doorman = Doorman(RateLimits(connections=2))
    assert [doorman.admit(address) for address in "abc"] == [True, True, False]
    doorman.release("a")
    assert doorman.admit("c")


def test_the_number_of_connections_of_one_address():
    doorman = Doorman(RateLimits(connections_per_address=1))
    assert [doorman.admit(address) for address in "aab"] == [True, False, True]
    doorman.release("a")
    doorman.release("b")
    assert (doorman.total, doorman._counts) == (0, {})


def test_who_has_no_address_counts_in_the_total_only():
    doorman = Doorman(RateLimits(connections=3, connections_per_address=1, connects=0, connects_burst=0))
    assert [doorman.admit("") for _ in range(4)] == [True, True, True, False]
    doorman.release("")
    assert (doorman.total, doorman._counts, doorman.turned_away) == (2, {}, {"connections": 1})


def test_a_full_house_is_told_once_until_a_tenth_is_gone(caplog):
    doorman = Doorman(RateLimits(connections=20))
    for _ in range(30):
        doorman.admit("a")
    assert [record.getMessage() for record in caplog.records] == [
        "all 20 connections are taken; new ones are closed at once"
    ]
    doorman.release("a")
    doorman.admit("a")
    doorman.admit("a")
    assert len(caplog.records) == 1
    doorman.release("a")
    doorman.release("a")
    for _ in range(4):
        doorman.admit("a")
    assert len(caplog.records) == 2


def test_the_rate_of_one_address(monkeypatch):
    monkeypatch.setattr(rates.time, "monotonic", lambda: 1.0)
    doorman = Doorman(RateLimits(connects=1, connects_burst=2))
    assert [doorman.admit(address) for address in "aaab"] == [True, True, False, True]
    assert doorman.total == 3


def test_addresses_are_remembered_only_so_many():
    doorman = Doorman(RateLimits(connects=1, addresses=3))
    for number in range(100):
        doorman.admit(str(number))
    assert list(doorman._buckets) == ["97", "98", "99"]


@pytest.mark.usefixtures("quick", "loop_factory")
@pytest.mark.parametrize(
    "rule", [{"connections": 2}, {"connections_per_address": 2}, {"connects": 0.001, "connects_burst": 2}]
)
async def test_who_is_one_too_many_is_closed_at_once_and_leaves_no_count(rule):
    async with serving(limits(rates=rule)) as house:
        house.work(lambda work: work.commit({"status": 200}))
        peers = [await house.peer(request()) for _ in range(2)]
        for peer in peers:
            assert (await peer.response()).status == 200
        third = await house.peer(request())
        assert await third.read_all() == b""
        assert house.server.connections == 2
        peers[0].drop()
        await await_until(lambda: house.server.connections == 1)
        if "connects" not in rule:
            assert (await (await house.peer(request())).response()).status == 200
