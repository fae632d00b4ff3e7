"""Groups outlive a connection, are shared by their listeners, and are left by the last of them, however it goes."""

import asyncio
import contextlib
import dataclasses
import gc

import pytest

from fairway.client import Overflow, Push, connect
from fairway.errors import BadFrame, ClientClosed, ConnectionLost, InvalidMessage, QueueFull, RequestFailed, TimedOut
from fairway.limits import ClientLimits
from tests.client.rogue import Peer, lose, rogue
from tests.support.waiting import await_until

BOARD = {"type": "board", "id": 7}


class Groups:
    """A server with groups: agrees to all but those that are forbidden, and says on each connection what it heard."""

    def __init__(self):
        self.heard = []
        self.connections = 0
        self.forbidden = set()
        self.silent = set()
        self.peer = None

    async def talk(self, peer: Peer):
        self.peer = peer
        self.connections += 1
        here = self.connections
        while True:
            request = await peer.ask()
            data = request.get("data") or {}
            self.heard.append((here, request["type"], data.get("id")))
            if request["type"] == "hang_up":
                await peer.socket.close(data["code"])
            elif request["type"] in self.silent:
                continue
            elif request["type"] == "subscribe" and data["id"] in self.forbidden:
                await peer.answer(request, error="You may not.")
            elif request["type"] == "subscribe":
                await peer.answer(request, data={"group": f"{data['type']}-{data['id']}"})
                await self.tell(f"{data['type']}-{data['id']}", "the first")
            else:
                await peer.answer(request, data=data)

    async def tell(self, group, what):
        change = {"type": "update", "group": group, "object": what}
        await self.peer.send({"id": 17, "type": "subscription-update", "data": change})


@pytest.fixture
def groups():
    return Groups()


@contextlib.asynccontextmanager
async def talking(groups, **limits):
    async with (
        rogue(groups.talk) as server,
        connect(server.url, limits=dataclasses.replace(ClientLimits(), **limits)) as client,
    ):
        client.errors = []
        client.on("error", client.errors.append)
        yield client


async def come_back(client, groups):
    """Lose the connection, and have another one."""
    before = groups.connections
    await lose(client, groups.peer)
    client.reconnect()
    await await_until(lambda: client.state == "open" and groups.connections > before)


@pytest.mark.usefixtures("loop_factory")
async def test_a_change_reaches_whoever_listens_from_the_first_one_on(groups):
    async with talking(groups) as client:
        async with client.subscribe(BOARD) as changes:
            assert (changes.group, changes.name) == (BOARD, "board-7")
            await groups.tell("board-8", "not ours")
            await groups.tell("board-7", "the second")
            assert await anext(changes) == Push("update", "board-7", "the first")
            assert await anext(changes) == Push("update", "board-7", "the second")
        assert [item async for item in changes] == []
        assert groups.heard == [(1, "subscribe", 7), (1, "unsubscribe", 7)]
        assert client.statistics == (0, 0, 0)


async def test_awaited_it_lasts_until_it_is_ended(groups):
    async with talking(groups) as client:
        changes = await client.subscribe({"id": 7, "type": "board"})
        await changes.unsubscribe()
        await changes.unsubscribe()
        assert await client.request("ping") == {}
    assert [kind for _, kind, _ in groups.heard] == ["subscribe", "unsubscribe", "ping"]


async def test_listeners_share_a_group_and_the_last_one_leaves_it(groups):
    async with talking(groups) as client:
        first = await client.subscribe(BOARD)
        asked = [client.subscribe({"id": 7, "type": "board"})._subscribed() for _ in range(2)]
        second, third = await asyncio.gather(*asked)
        await groups.tell("board-7", "to all")
        for changes in (second, third):
            await await_until(lambda changes=changes: changes._items and changes._items[-1][0].object == "to all")
        await first.unsubscribe()
        await second.unsubscribe()
        await groups.tell("board-7", "to one")
        await await_until(lambda: third._items[-1][0].object == "to one")
        assert (len(first), len(second)) == (0, 0)
        await third.unsubscribe()
    assert groups.heard == [(1, "subscribe", 7), (1, "unsubscribe", 7)]


async def test_a_refusal_is_an_error_for_all_who_asked(groups):
    groups.forbidden.add(7)
    async with talking(groups) as client:
        asked = [client.subscribe(BOARD)._subscribed() for _ in range(2)]
        outcomes = await asyncio.gather(*asked, return_exceptions=True)
        assert [(type(error), str(error)) for error in outcomes] == [(RequestFailed, "You may not.")] * 2
        groups.forbidden.clear()
        async with client.subscribe(BOARD) as changes:
            assert changes.name == "board-7"
        assert client.errors == []
    assert [kind for _, kind, _ in groups.heard] == ["subscribe", "subscribe", "unsubscribe"]


@pytest.mark.parametrize("answer", [{}, {"data": None}, {"data": {"group": 7}}, {"data": ["group"]}])
async def test_an_agreement_without_a_group_is_none(answer):
    async def talk(peer):
        await peer.answer(await peer.ask(), **answer)
        await peer.wait_closed()

    async with rogue(talk) as server, connect(server.url) as client:
        with pytest.raises(BadFrame):
            await client.subscribe(BOARD)


@pytest.mark.usefixtures("quick")
async def test_each_new_connection_is_told_of_all_groups_before_anything_else(groups):
    async with talking(groups) as client:
        changes = [await client.subscribe({"type": "board", "id": number}) for number in range(3)]
        await changes[1].unsubscribe()
        await lose(client, groups.peer)
        assert await client.request("ping") == {}
        await groups.tell("board-2", "after")
        assert [(await anext(changes[2])).object for _ in range(3)] == ["the first", "the first", "after"]
    here = [(kind, number) for connection, kind, number in groups.heard if connection == 2]
    assert here == [("subscribe", 0), ("subscribe", 2), ("ping", None)]


@pytest.mark.usefixtures("quick")
async def test_a_group_that_was_asked_for_when_the_connection_broke_is_asked_for_again_once(groups):
    groups.silent.add("subscribe")
    async with talking(groups) as client:
        asking = asyncio.create_task(client.subscribe(BOARD)._subscribed())
        await await_until(lambda: groups.heard)
        groups.silent.clear()
        await come_back(client, groups)
        await asking
        groups.silent.add("subscribe")
        await come_back(client, groups)
        await await_until(lambda: len(groups.heard) == 3)
        groups.silent.clear()
        await come_back(client, groups)  # the renewal itself was under way
        await await_until(lambda: len(groups.heard) == 4)
        assert await client.request("ping") == {}
    assert groups.heard == [*((connection, "subscribe", 7) for connection in (1, 2, 3, 4)), (4, "ping", None)]


@pytest.mark.usefixtures("quick")
async def test_a_refusal_on_a_later_connection_ends_it_with_the_error(groups):
    async with talking(groups) as client:
        changes = await client.subscribe(BOARD)
        groups.forbidden.add(7)
        await come_back(client, groups)
        assert (await anext(changes)).object == "the first"
        with pytest.raises(RequestFailed, match=r"You may not\."):
            await anext(changes)
        assert [str(error) for error in client.errors] == ["You may not."]
        await changes.unsubscribe()
        await come_back(client, groups)
        await client.request("ping")
    assert [kind for connection, kind, _ in groups.heard if connection == 3] == ["ping"]


async def test_no_agreement_in_time_is_an_error_and_the_server_is_told(groups):
    groups.silent.add("subscribe")
    async with talking(groups) as client:
        await client.wait_open(30)
        with pytest.raises(TimedOut, match=r"no answer to the request for {'type': 'board', 'id': 7} within 0\.05 s"):
            await client.subscribe(BOARD, timeout=0.05)
        await client.request("ping")
        assert client.statistics == (0, 0, 0)
    assert [kind for _, kind, _ in groups.heard] == ["subscribe", "unsubscribe", "ping"]


async def test_asking_may_be_cancelled_also_by_one_of_several(groups):
    groups.silent.add("subscribe")
    async with talking(groups) as client:
        tasks = [asyncio.create_task(client.subscribe(BOARD)._subscribed()) for _ in range(2)]
        await await_until(lambda: groups.heard)
        tasks[0].cancel()
        await asyncio.gather(tasks[0], return_exceptions=True)
        assert not tasks[1].done()
        assert len(groups.heard) == 1
        tasks[1].cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await await_until(lambda: client.statistics == (0, 0, 0))
    assert [kind for _, kind, _ in groups.heard] == ["subscribe", "unsubscribe"]


async def test_asking_that_is_cancelled_before_it_was_sent_was_never_asked(groups):
    async with talking(groups) as client:
        task = asyncio.create_task(client.subscribe(BOARD)._subscribed())
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await client.request("ping")
    assert groups.heard == [(1, "ping", None)]


async def test_leaving_that_is_cancelled_goes_on(groups):
    async with talking(groups) as client:
        changes = await client.subscribe(BOARD)
        groups.silent.add("unsubscribe")
        leaving = asyncio.create_task(changes.unsubscribe())
        await asyncio.sleep(0)
        leaving.cancel()
        await asyncio.gather(leaving, return_exceptions=True)
        await client.request("ping")
    assert [kind for _, kind, _ in groups.heard] == ["subscribe", "unsubscribe", "ping"]


async def test_leaving_has_its_time_and_is_done_here_all_the_same(groups):
    async with talking(groups) as client:
        changes = await client.subscribe(BOARD)
        changes._timeout = 0.05
        groups.silent.add("unsubscribe")
        with pytest.raises(TimedOut, match="no answer to the request 'unsubscribe' within"):
            await changes.unsubscribe()
        await groups.tell("board-7", "late")
        await client.request("ping")
        assert len(changes) == 0


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("code", [1012, 1008])
async def test_leaving_while_the_connection_ends_needs_no_answer(groups, code):
    async with talking(groups) as client:
        changes = await client.subscribe(BOARD)
        groups.silent.add("unsubscribe")
        leaving = asyncio.create_task(changes.unsubscribe())
        await await_until(lambda: (1, "unsubscribe", 7) in groups.heard)
        with contextlib.suppress(ConnectionLost, ClientClosed):
            await client.request("hang_up", {"code": code})
        await leaving


async def test_leaving_without_a_connection_only_forgets(groups):
    async with talking(groups) as client:
        changes = await client.subscribe(BOARD)
        with pytest.raises(ConnectionLost):
            await client.request("hang_up", {"code": 1013})  # so that it stays away for a while
        await changes.unsubscribe()
        client.reconnect()
        await client.request("ping")
    assert [kind for _, kind, _ in groups.heard] == ["subscribe", "hang_up", "ping"]


@pytest.mark.usefixtures("quick")
async def test_leaving_during_a_renewal_ends_both(groups):
    async with talking(groups) as client:
        changes = await client.subscribe(BOARD)
        groups.silent.add("subscribe")
        await come_back(client, groups)
        await await_until(lambda: (2, "subscribe", 7) in groups.heard)
        await changes.unsubscribe()
        await come_back(client, groups)
        await client.request("ping")
        assert client.statistics == (0, 0, 0)
    assert [(number, kind) for number, kind, _ in groups.heard] == [
        (1, "subscribe"),
        (2, "subscribe"),
        (2, "unsubscribe"),
        (3, "ping"),
    ]


async def test_one_that_nobody_holds_any_more_is_left_at_the_next_change(groups):
    async with talking(groups) as client:
        changes = await client.subscribe(BOARD)
        assert (await anext(changes)).object == "the first"
        del changes
        gc.collect()
        await groups.tell("board-7", "to nobody")
        await await_until(lambda: len(groups.heard) == 2)
    assert [kind for _, kind, _ in groups.heard] == ["subscribe", "unsubscribe"]


@pytest.mark.parametrize("code", [1000, 1008])
async def test_the_end_of_the_client_ends_it(groups, code):
    async with talking(groups) as client:
        changes = await client.subscribe(BOARD)
        assert (await anext(changes)).object == "the first"
        with pytest.raises(ClientClosed):
            await client.request("hang_up", {"code": code})
        if code == 1000:
            assert [item async for item in changes] == []
        else:
            with pytest.raises(ClientClosed, match="the client was closed: 1008"):
                await anext(changes)
        await changes.unsubscribe()
        with pytest.raises(ClientClosed):
            await client.subscribe(BOARD)


async def test_closing_while_it_is_asked_for_tells_who_asked(groups):
    groups.silent.add("subscribe")
    async with talking(groups) as client:
        asking = asyncio.create_task(client.subscribe(BOARD)._subscribed())
        await await_until(lambda: groups.heard)
        await client.close()
        with pytest.raises(ClientClosed):
            await asking


@pytest.mark.usefixtures("quick")
async def test_closing_during_a_renewal_ends_it_quietly(groups):
    async with talking(groups) as client:
        changes = await client.subscribe(BOARD)
        groups.silent.add("subscribe")
        await come_back(client, groups)
        await await_until(lambda: (2, "subscribe", 7) in groups.heard)
        await client.close()
        assert [item.object async for item in changes] == ["the first"]
        assert client.errors == []


async def test_two_names_of_the_application_may_be_one_group_of_the_server():
    async def talk(peer):
        for _ in range(2):
            await peer.answer(await peer.ask(), data={"group": "same"})
        await peer.send({"id": 1, "type": "subscription-update", "data": {"group": "same", "type": "x"}})
        await peer.answer(await peer.ask(), data={})
        await peer.send({"id": 1, "type": "subscription-update", "data": {"group": "same", "type": "y"}})
        await peer.wait_closed()

    async with rogue(talk) as server, connect(server.url) as client:
        one, two = await client.subscribe({"id": 7}), await client.subscribe({"id": "7"})
        assert [await anext(one), await anext(two)] == [Push("x", "same", None)] * 2
        await one.unsubscribe()
        assert await anext(two) == Push("y", "same", None)


@pytest.mark.usefixtures("quick")
async def test_a_group_may_have_another_name_on_another_connection():
    names = iter("ab")

    async def talk(peer):
        name = next(names)
        await peer.answer(await peer.ask(), data={"group": name})
        await peer.send({"id": 1, "type": "subscription-update", "data": {"group": "a", "object": name}})
        await peer.send({"id": 1, "type": "subscription-update", "data": {"group": "b", "object": name}})
        if name == "a":
            peer.socket.transport.close()
        await peer.wait_closed()

    async with rogue(talk) as server, connect(server.url) as client:
        changes = await client.subscribe(BOARD)
        assert [await anext(changes) for _ in range(2)] == [Push("", "a", "a"), Push("", "b", "b")]


async def test_a_full_one_may_give_up(groups):
    async with talking(groups, max_feed=2) as client:
        changes = await client.subscribe(BOARD, overflow=Overflow.FAIL)
        for number in range(3):
            await groups.tell("board-7", number)
        await client.request("ping")
        assert [(await anext(changes)).object for _ in range(2)] == ["the first", 0]
        with pytest.raises(QueueFull, match=r"the subscription of {'type': 'board', 'id': 7}: nobody took"):
            await anext(changes)


async def test_a_group_without_json_is_refused(groups):
    async with talking(groups) as client:
        with pytest.raises(InvalidMessage, match="the group cannot be sent as JSON"):
            client.subscribe({"id": object()})
