"""What is held while a consumer runs, and for how long."""

import pytest

from fairway.server.fanout import GroupMessage
from fairway.server.holding import Holding
from fairway.server.replies import GroupReply
from tests.server.support import limits, serving


def make_message(group):
    return GroupMessage(group, GroupReply(text="x"), 1024)


@pytest.mark.parametrize(("groups", "expected"), [(None, [True, True]), ({"a"}, [True, False])])
def test_groups_are_held_all_or_some(groups, expected):
    holding = Holding(0, groups, 2)
    assert [holding.holds(group) for group in "ab"] == expected


def test_one_more_group_is_held_for_as_long_as_the_message_that_joined_it():
    holding = Holding(3, {"a"}, 2)
    holding.join("b", 4)
    assert (holding.holds("b"), holding.until) == (True, 4)


def test_the_connect_waits_for_its_own_end_only():
    holding = Holding(0, None, 2)
    holding.join("b", 4)
    assert holding.until == 0


def test_it_is_full_at_its_limit():
    holding = Holding(0, {"a"}, 2)
    holding.messages += [make_message("a")] * 2
    assert holding.is_full


async def test_what_a_consumer_sends_comes_before_what_its_new_groups_hear():
    """Join, read, send: a change after the reading is not overtaken by what was read before it."""
    async with serving() as house:
        peer, _ = await house.open()
        peer.say("subscribe")
        run = await house.take("websocket.receive")
        house.layer.group_add("posts", run.reply)
        house.layer.send_group("posts", {"text": "changed"})
        house.layer.send(run.reply, {"text": "progress"})
        assert await peer.text() == "progress"
        run.commit({"text": "snapshot"})
        assert [await peer.text() for _ in range(2)] == ["snapshot", "changed"]
        house.layer.send_group("posts", {"text": "later"})
        assert await peer.text() == "later"


async def test_groups_of_before_are_heard_meanwhile():
    async with serving() as house:
        peer, connect = await house.open()
        house.layer.group_add("old", connect.reply)
        peer.say("subscribe")
        run = await house.take("websocket.receive")
        house.layer.group_add("new", run.reply)
        house.layer.send_group("new", {"text": "new"})
        house.layer.send_group("old", {"text": "old"})
        assert await peer.text() == "old"
        run.commit()
        assert await peer.text() == "new"


async def test_whoever_joins_an_idle_connection_is_heard_at_once():
    async with serving() as house:
        peer, connect = await house.open()
        house.layer.group_add("g", connect.reply)
        house.layer.send_group("g", {"text": "hello"})
        assert await peer.text() == "hello"


async def test_events_of_a_new_group_wait_as_every_message_does():
    async with serving() as house:
        peer, _ = await house.open()
        peer.say("subscribe")
        run = await house.take("websocket.receive")
        house.layer.group_add("g", run.reply)
        house.layer.send_group("g", {"text": "frame"})
        house.layer.send_group("g", {"type": "chat.message"})
        run.commit()
        assert await peer.text() == "frame"
        event = (await house.take("websocket.event")).commit()
        assert event.message["event"] == {"type": "chat.message"}


async def test_more_than_is_held_closes_the_socket():
    async with serving(limits(websocket={"held_for_joined": 2})) as house:
        peer, _ = await house.open()
        peer.say("subscribe")
        run = await house.take("websocket.receive")
        house.layer.group_add("g", run.reply)
        for number in range(3):
            house.layer.send_group("g", {"text": str(number)})
        assert await peer.closed() == 1013


async def test_what_is_held_waits_for_the_run_after_a_lost_one():
    async with serving() as house:
        peer, _ = await house.open()
        peer.say("subscribe")
        run = await house.take("websocket.receive")
        house.layer.group_add("g", run.reply)
        house.layer.send_group("g", {"text": "held"})
        house.reader.release(run.delivery)
        (await house.take("websocket.receive")).commit({"text": "snapshot"})
        assert [await peer.text() for _ in range(2)] == ["snapshot", "held"]
