"""The broker goes and comes under a server with connections: groups, messages, requests, marks."""

import logging

import pytest

from fairway.broker.effects import GroupSend, Policy, Send
from fairway.broker.inbox import Mark
from fairway.errors import ChannelFull
from fairway.layers.codec import encode_message
from tests.server.support import ask, await_until, begin, limits, post, read_body, request, serving

pytestmark = pytest.mark.usefixtures("quick", "loop_factory")


async def test_a_message_under_way_is_sent_again_and_the_gate_goes_on():
    async with serving() as house:
        peer, _ = await house.open()
        peer.say("1")
        peer.say("2")
        lost = await house.take("websocket.receive")
        house.renew()
        again = await house.take("websocket.receive")
        assert (again.delivery.envelope.id, again.delivery.envelope.attempt) == (lost.delivery.envelope.id, 2)
        assert again.message == lost.message
        again.commit({"text": "one"})
        second = await house.take("websocket.receive")
        assert (second.message["text"], second.delivery.envelope.attempt) == ("2", 1)
        second.commit({"text": "two"})
        assert [await peer.text() for _ in range(2)] == ["one", "two"]


async def test_the_same_broker_keeps_what_it_has():
    """Only the line was cut: what a worker holds is not delivered twice, and its end is heard."""
    async with serving() as house:
        peer, _ = await house.open()
        peer.say("1")
        work = await house.take("websocket.receive")
        house.renew(same=True)
        assert await house.takes_nothing()
        work.commit({"text": "one"})
        assert await peer.text() == "one"
        peer.say("2")
        (await house.take("websocket.receive")).commit()


async def test_all_messages_of_a_pinned_connection_are_sent_again_in_order():
    async with serving() as house:
        reader = house.layer.reader(["view.x!"])
        peer, connect = await begin(house)
        connect.commit({"accept": True, "receive_channel": "view.x!1"})
        await peer.head()
        held = []
        for text in ("1", "2", "3"):
            peer.say(text)
            held.append(await reader.areceive(5))
        reader.commit(held[0])
        await await_until(lambda: len(house.underway(connect.reply)) == 2, "the first to be done")
        reader.commit(held[2])  # cumulative
        await await_until(lambda: not house.underway(connect.reply), "all to be done")
        peer.say("4")
        peer.say("5")
        await await_until(lambda: len(house.underway(connect.reply)) == 2, "two under way")
        house.renew("view.x!")
        again = [(await house.take("view.x!1")).commit() for _ in range(2)]
        assert [(work.message["text"], work.delivery.envelope.attempt) for work in again] == [("4", 2), ("5", 2)]


async def test_a_pinned_connection_whose_process_does_not_come_back_is_closed():
    async with serving() as house:
        house.layer.reader(["view.x!"])
        peer, connect = await begin(house)
        connect.commit({"accept": True, "receive_channel": "view.x!1"})
        await peer.head()
        peer.say("1")
        await await_until(lambda: house.underway(connect.reply), "a message to be under way")
        house.renew()
        assert await peer.closed() == 1012


async def test_groups_are_announced():
    async with serving() as house:
        (first, one), (second, two) = await house.open(), await house.open()
        for connect in (one, two):
            house.layer.group_add("g", connect.reply)
        house.layer.group_add("h", one.reply)
        await await_until(lambda: len(house.gateway.fanout) == 2, "both groups")
        house.renew()
        house.layer.send_group("g", {"text": "here"})
        assert [await peer.text() for peer in (first, second)] == ["here", "here"]
        assert sorted(await house.layer.agroup_channels("g")) == sorted([one.reply, two.reply])
        first.drop()
        await await_until(lambda: house.layer.statistics().groups == 1, "the second group to be left")


async def test_what_comes_while_the_broker_is_away_waits_for_it():
    async with serving() as house:
        open_peer, _ = await house.open()
        house.sever()
        assert "away" in house.gateway.trouble
        open_peer.say("1")
        socket = await house.peer(b"")
        peers = [await house.peer(request()), await house.peer(post(3), b"abc")]
        await await_until(lambda: len(house.gateway._underway) == 3, "all to be under way")
        socket.drop()
        house.renew()
        assert house.gateway.trouble == ""
        works = [await house.take() for _ in range(3)]
        assert {work.delivery.envelope.attempt for work in works} == {1}
        for work in works:
            work.commit({"status": 200} if work.channel == "http.request" else {"text": "done"})
        assert [(await peer.response()).status for peer in peers] == [200, 200]
        assert await open_peer.text() == "done"


async def test_a_request_that_was_under_way_runs_again_if_it_may():
    async with serving() as house:
        safe, _ = await ask(house)
        unsafe, _ = await ask(house, post(3), b"abc")
        house.renew()
        assert (await unsafe.response()).status == 502
        work = await house.take("http.request")
        assert (work.message["method"], work.delivery.envelope.attempt) == ("GET", 2)
        work.commit({"status": 200})
        assert (await safe.response()).status == 200
        assert await house.takes_nothing()


async def test_a_request_whose_body_was_travelling_is_lost():
    async with serving(limits(http={"body_chunk": 1000})) as house:
        peer, _ = await ask(house, post(200_000), bytes(100_000))
        house.renew()
        assert (await peer.response()).status == 502


async def test_a_request_that_lost_a_part_of_its_body_is_lost_too():
    async with serving(limits(http={"body_chunk": 1000})) as house:
        house.sever()
        peer = await house.peer(post(200_000), bytes(200_000))
        await await_until(lambda: house.gateway._underway and house.attempts() == [1], "a part to be lost")
        house.renew()
        assert (await peer.response()).status == 502
        assert await house.takes_nothing()


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_a_response_that_has_begun_goes_on(method):
    async with serving() as house:
        peer, work = await ask(house, *([request()] if method == "GET" else [post(3), b"abc"]))
        work.say({"status": 200, "content": b"a", "more_content": True})
        await peer.head()
        house.renew(same=True)
        assert await house.takes_nothing()
        work.commit({"content": b"b"})
        assert b"".join([await peer.chunk(), await peer.chunk()]) == b"ab"
        await await_until(lambda: not house.gateway._underway, "the request to be done")


async def test_an_open_response_in_a_group_goes_on_with_another_broker():
    async with serving() as house:
        peer, work = await ask(house)
        house.layer.group_add("stream", work.reply)
        work.commit({"status": 200, "content": b"a", "more_content": True})
        await peer.head()
        await await_until(lambda: not house.gateway._underway, "the request to be done")
        house.renew()
        house.layer.publish(GroupSend("stream", encode_message({"content": b"b", "more_content": False})))
        assert b"".join([await peer.chunk(), await peer.chunk()]) == b"ab"


async def test_a_consumer_whose_client_has_left_is_told_once_more_and_then_forgotten():
    async with serving() as house:
        peer, work = await ask(house)
        peer.drop()
        await await_until(lambda: house.gateway._departed, "the consumer to be told")
        house.renew()
        [inbox] = house.layer.broker.owners._inboxes.values()
        assert inbox.marks == {work.reply: Mark.DEPARTED}
        assert house.attempts() == [2]
        house.renew()
        assert (house.gateway._departed, house.gateway._underway) == (set(), {})


async def test_a_request_that_nobody_has_had_ends_with_its_client():
    async with serving() as house:
        house.sever()
        peer = await house.peer(request())
        await await_until(lambda: house.gateway._underway, "the request")
        peer.drop()
        await await_until(lambda: not house.gateway._underway, "nothing to be kept")
        house.renew()
        assert await house.takes_nothing()


async def test_slow_clients_are_slow_for_the_new_broker_too():
    async with serving() as house:
        _, connect = await house.open()
        house.gateway.congest(connect.reply)
        house.renew()
        with pytest.raises(ChannelFull):
            house.layer.publish(Send(connect.reply, b""))
        house.gateway.relieve(connect.reply)
        house.renew()
        house.layer.send(connect.reply, {"text": "x"})


async def test_one_line_tells_how_much_there_was(caplog):
    async with serving() as house:
        peer, connect = await house.open()
        house.layer.group_add("g", connect.reply)
        peer.say("1")
        await house.take("websocket.receive")
        lost, _ = await ask(house, post(3), b"abc")
        with caplog.at_level(logging.WARNING, "fairway.server"):
            house.renew()
        assert "1 groups announced, 1 messages sent again, 1 requests lost" in caplog.text
        assert (await lost.response()).status == 502


async def test_what_may_run_once_is_kept_without_its_body():
    async with serving() as house:
        _, work = await ask(house, post(3), b"abc")
        [(envelope, body)] = house.underway(work.reply)
        assert (envelope.policy, body) == (Policy.ONCE, b"")
        work.commit({"status": 200})


async def test_a_body_is_read_whole_when_nothing_is_lost():
    async with serving(limits(http={"body_chunk": 1000})) as house:
        peer, work = await ask(house, post(100_000), bytes(100_000))
        assert await read_body(house, work) == bytes(100_000)
        work.commit({"status": 200})
        assert (await peer.response()).status == 200
