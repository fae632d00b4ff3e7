"""What the workers are told when the owner of connections has died."""

import msgspec
import pytest

from fairway.broker.effects import Ending, Policy
from fairway.broker.wills import Will
from fairway.limits import ChannelRule
from tests.support.brokers import Desk

BODY = msgspec.msgpack.encode({"path": "/", "order": 0})[:-1]


@pytest.fixture
def desk():
    return Desk()


@pytest.fixture
def owner(desk):
    owner = desk.owner("s1!")
    desk.owners.will(owner, "s1!c1", Will(BODY, -1))
    return owner


def die(desk, owner):
    wills = desk.owners.by_number(owner).wills
    desk.do(desk.owners.close, owner)
    desk.do(desk.broker.carry_out, wills)


def told(desk, worker):
    delivery = desk.take(worker)
    if delivery is None or delivery.envelope.channel != "websocket.disconnect":
        return None
    return delivery.envelope.order, msgspec.msgpack.decode(delivery.body)


def test_an_idle_connection_is_told_at_once_with_the_next_number(desk, owner):
    worker = desk.session("w", "websocket.disconnect")
    desk.submit(owner, order=0)
    desk.commit(worker, desk.take(worker))
    die(desk, owner)
    assert told(desk, worker) == (1, {"path": "/", "order": 1})
    assert told(desk, worker) is None


@pytest.mark.parametrize("ending", ["commit", "attempts", "lost"])
def test_what_is_under_way_comes_first(owner, desk, ending):
    worker = desk.session("w", "websocket.disconnect")
    desk.submit(owner, order=4, policy=Policy.ONCE if ending == "lost" else Policy.AGAIN)
    delivery = desk.take(worker)
    die(desk, owner)
    assert told(desk, worker) is None
    if ending == "commit":
        desk.commit(worker, delivery)
    else:
        while delivery:
            desk.do(desk.broker.close_session, worker, 0)
            worker = desk.session("w", "websocket.disconnect")
            delivery = None if ending == "lost" else desk.take(worker)
            if delivery and delivery.envelope.channel == "websocket.disconnect":
                assert delivery.envelope.order == 5
                return
    assert told(desk, worker) == (5, {"path": "/", "order": 5})


def test_a_message_that_comes_later_is_waited_for(desk, owner):
    worker = desk.session("w", "websocket.disconnect")
    desk.submit(owner, order=0)
    desk.commit(worker, desk.take(worker), ending=Ending.LATER)
    die(desk, owner)
    assert told(desk, worker) is None
    desk.tick(1)
    desk.commit(worker, desk.take(worker, 1), now=1)
    assert told(desk, worker) == (1, {"path": "/", "order": 1})


def test_the_end_that_its_server_told_is_not_told_again(desk, owner):
    desk.submit(owner, "websocket.disconnect", order=3)
    assert desk.owners.by_number(owner).wills == {}


def test_a_will_can_be_taken_back_and_that_of_a_closed_owner_is_none(desk, owner):
    desk.owners.will(owner, "s1!c1", Will(b"", 0))
    assert desk.owners.by_number(owner).wills == {}
    desk.do(desk.owners.close, owner)
    desk.owners.will(owner, "s1!c1", Will(BODY, 0))
    assert desk.owners.by_number(owner) is None


def test_wills_are_bounded():
    desk = Desk(wills=2)
    owner = desk.owner("s1!")
    for number in range(4):
        desk.owners.will(owner, f"s1!c{number}", Will(BODY, 0))
    assert list(desk.owners.by_number(owner).wills) == ["s1!c0", "s1!c1"]


def test_nobody_hears_of_the_end_of_a_connection_that_nobody_saw():
    desk = Desk(("full", ChannelRule(capacity=0)), ("short", ChannelRule(expiry=1)))
    owner = desk.owner("s1!")
    desk.owners.will(owner, "s1!c1", Will(BODY, -1))
    desk.submit(owner, "full", order=0)
    assert desk.owners.by_number(owner).wills == {}
    desk.owners.will(owner, "s1!c1", Will(BODY, -1))
    desk.submit(owner, "short", order=0)
    desk.tick(5)
    assert desk.owners.by_number(owner).wills == {}
    desk.owners.will(owner, "s1!c1", Will(BODY, -1))
    desk.submit(owner, "short", order=0)
    die(desk, owner)
    desk.tick(10)
    assert told(desk, desk.session("websocket.disconnect")) is None


def test_state_goes_along(desk, owner):
    desk.owners.will(owner, "s1!c1", Will(BODY, 2, {"k": b"v"}))
    die(desk, owner)
    assert desk.take(desk.session("websocket.disconnect")).envelope.state == {"k": b"v"}
