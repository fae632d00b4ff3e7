"""Inboxes: what the owner of connections reads and writes, slow clients, and questions that only it can answer."""

import asyncio
import functools

from fairway.broker.effects import (
    Add,
    Ask,
    Credit,
    Discard,
    Done,
    Frame,
    Grant,
    GroupFrame,
    GroupSend,
    Refused,
    SaveState,
    Send,
    State,
)
from fairway.errors import ChannelFull, InvalidName, LayerUnavailable
from fairway.layers.base import Layer
from fairway.layers.codec import encode_message
from fairway.limits import ChannelRule
from fairway.testing.layer_conformance.base import ConformanceBase, Form, Owner, conformance, number
from fairway.testing.layer_conformance.sending import raised


class InboxConformance(ConformanceBase):
    """`inbox`, its items, and `group_channels` and `state`."""

    def items_of(self, layer: Layer, channel: str) -> int:
        """Return how many messages of a normal channel wait for a reader."""
        found = layer.statistics().channels.get(channel)
        return found.waiting if found else 0

    @conformance
    async def test_items_are_typed_and_in_order(self, form: Form) -> None:
        """All that one sender does arrives as items, in the order in which it was done."""
        layer = self.layer()
        owner = self.owner(layer)
        reply = self.submit(owner, "websocket.receive", 3)
        reader = layer.reader(["websocket.receive"])
        delivery = await self.receive(form, reader)
        await form(layer, "group_add", "g", reply)
        outbox = [
            Send(reply, b"1"),
            SaveState(reply, {"k": b"v", "gone": None}),
            Send(reply, b"2"),
            GroupSend("g", b"3", typed=True),
            Grant(reply, 100),
        ]
        await form(reader, "commit", delivery, outbox)
        await form(layer, "group_discard", "g", reply)
        items = await owner.all_items()
        assert isinstance(items[0], Add)
        assert isinstance(items[4], GroupFrame)
        assert items[1:4] + items[5:] == [
            Frame(reply, b"1"),
            State(reply, {"k": b"v", "gone": None}),
            Frame(reply, b"2"),
            Credit(reply, 100),
            Done(reply, 3),
            Discard("g", reply),
        ]

    @conformance
    async def test_one_inbox_for_several_prefixes(self, form: Form) -> None:
        """An owner reads all channels below all its prefixes, in one order."""
        layer = self.layer()
        owner = self.owner(layer, "s1!", "s1web!")
        channels = ["s1!a", "s1web!b", "s1!", "s1!a"]
        for channel in channels:
            await form(layer, "publish", Send(channel, b"x"))
        assert await owner.all_items() == [Frame(channel, b"x") for channel in channels]

    @conformance
    async def test_the_owner_is_called_when_there_is_something(self, form: Form) -> None:
        """Once for each time that the inbox stops being empty, and never for nothing."""
        layer = self.layer()
        owner = self.owner(layer)
        assert owner.inbox.drain() == []
        assert owner.calls == 0
        for _ in range(3):
            await form(layer, "publish", Send("s1!c1", b"x"))
        await owner.wait_items(3)
        assert owner.calls <= 3
        before = owner.calls
        await form(layer, "publish", Send("s1!c1", b"x"))
        await owner.wait_items(1)
        assert owner.calls == before + 1

    @conformance
    async def test_wrong_prefixes(self, form: Form) -> None:
        """A prefix ends in `!`."""
        del form
        layer = self.layer()
        for prefix in ("s1", "s1?x", "s1!c1", "!", ""):
            try:
                layer.inbox([prefix], lambda: None)
            except InvalidName:
                continue
            raise AssertionError(f"{prefix!r} was taken")

    @conformance
    async def test_submit_carries_the_envelope(self, form: Form) -> None:
        """A worker sees id, reply channel, order and state as the server gave them."""
        layer = self.layer()
        owner = self.owner(layer)
        reply = self.submit(owner, "websocket.receive", 7, state={"k": b"\x01"})
        envelope = (await self.receive(form, layer.reader(["websocket.receive"]))).envelope
        assert (envelope.id, envelope.reply_channel, envelope.order) == ("s1!.7", reply, 7)
        assert envelope.state == {"k": b"\x01"}

    @conformance
    async def test_a_full_channel_refuses_a_submit(self, form: Form) -> None:
        """The owner reads which message it was; so it does when the one process that could read it is gone."""
        layer = self.layer(("websocket.connect", ChannelRule(capacity=1)))
        owner = self.owner(layer)
        reply = self.submit(owner, "websocket.connect", 0)
        self.submit(owner, "websocket.connect", 1)
        assert await owner.wait_item(Refused) == Refused(reply, 1, "websocket.connect", "capacity")
        self.submit(owner, "view.A!1", 2)
        assert await owner.wait_item(Refused) == Refused(reply, 2, "view.A!1", "gone")
        await self.receive(form, layer.reader(["websocket.connect"]))

    @conformance
    async def test_has_reader(self, form: Form) -> None:
        """An owner can ask whether optional messages have a reader."""
        del form
        layer = self.layer()
        owner = self.owner(layer)
        assert not owner.inbox.has_reader("http.disconnect")
        reader = layer.reader(["http.disconnect"])
        await self.wait_until(lambda: owner.inbox.has_reader("http.disconnect"))
        other = layer.reader(["http.disconnect"])
        await asyncio.to_thread(reader.pause)
        assert owner.inbox.has_reader("http.disconnect")
        await asyncio.to_thread(other.pause)
        await self.wait_until(lambda: not owner.inbox.has_reader("http.disconnect"))
        last = layer.reader(["http.disconnect"])
        await self.wait_until(lambda: owner.inbox.has_reader("http.disconnect"))
        last.close()
        await self.wait_until(lambda: not owner.inbox.has_reader("http.disconnect"))

    @conformance
    async def test_a_slow_client_slows_its_senders(self, form: Form) -> None:
        """A congested connection refuses direct sends, or lets them wait; others are not concerned."""
        layer = self.layer()
        owner = self.owner(layer)
        owner.inbox.congest("s1!c1")
        await self.wait_refused(form, layer, "s1!c1")
        await form(layer, "publish", Send("s1!c2", b"x"))
        waiting = []
        for value in range(2):
            task = asyncio.create_task(form(layer, "publish", number(value, "s1!c1"), self.deadline))
            await self.wait_until(functools.partial(self.is_held, layer, value + 1))
            waiting.append(task)
        # An empty one came before the owner's word.
        come = [item for item in await owner.all_items() if isinstance(item, Frame) and item.body]
        assert come == [Frame("s1!c2", b"x")]
        owner.inbox.relieve("s1!c1")
        await asyncio.gather(*waiting)
        assert await owner.all_items() == [Frame("s1!c1", number(value).body) for value in range(2)]

    async def wait_refused(self, form: Form, layer: Layer, channel: str) -> None:
        """Wait until a direct send is refused; an owner's word may still be on its way."""
        async with asyncio.timeout(self.deadline):
            while True:
                try:
                    await form(layer, "publish", Send(channel, b""))
                except ChannelFull:
                    return

    def is_held(self, layer: Layer, count: int) -> bool:
        """Whether the layer holds the body of the one frame and `count` numbers that wait."""
        return layer.statistics().held_bytes in (count * len(number(0).body), 1 + count * len(number(0).body))

    @conformance
    async def test_unread_bytes_of_one_connection_are_bounded(self, form: Form) -> None:
        """Beyond them a direct send finds no room until the owner has read; a commit's effects always go in."""
        self.skip_if_items_are_pushed()
        layer = self.layer(unread_per_connection=10)
        owner = self.owner(layer)
        await form(layer, "publish", Send("s1!c1", bytes(10)))
        await raised(ChannelFull, form, layer, "publish", Send("s1!c1", b"x"))
        await raised(ChannelFull, form, layer, "publish", Send("s1!c1", b"x"), 0.01)
        await form(layer, "publish", Send("s1!c2", b"x"))
        reader = layer.reader(["numbers"])
        await form(layer, "publish", number(1))
        await form(reader, "commit", await self.receive(form, reader), [Send("s1!c1", b"y")])
        waiting = asyncio.create_task(form(layer, "publish", Send("s1!c1", b"z"), self.deadline))
        await self.wait_until(lambda: layer.statistics().held_bytes == 13)
        bodies = [item.body for item in await owner.wait_items(4) if isinstance(item, Frame)]
        assert bodies == [bytes(10), b"x", b"y", b"z"]
        await waiting

    @conformance
    async def test_a_connection_that_is_gone(self, form: Form) -> None:
        """A message for a process that is gone is dropped quietly, waiting senders are let go, nothing is kept."""
        layer = self.layer()
        owner = self.owner(layer)
        owner.inbox.congest("s1!c1")
        await self.wait_refused(form, layer, "s1!c1")
        waiting = asyncio.create_task(form(layer, "publish", Send("s1!c1", b"xx"), self.deadline))
        await self.wait_until(lambda: layer.statistics().held_bytes == 2)
        await form(layer, "publish", Send("s1!c2", b"x"))
        owner.inbox.close()
        owner.inbox.close()
        await waiting
        await form(layer, "publish", Send("s1!c1", b"x"))
        await self.wait_until(lambda: layer.statistics().owners == 0)
        await self.wait_until(lambda: layer.statistics().held_bytes == 0)
        assert owner.inbox.drain() == []
        owner.inbox.relieve("s1!c1")
        owner.inbox.leave("g", 1)

    @conformance
    async def test_a_prefix_can_be_taken_over(self, form: Form) -> None:
        """A server whose line was cut comes back before it is missed: from then on all is the new inbox's."""
        layer = self.layer()
        old = self.owner(layer)
        await form(layer, "group_add", "g", "s1!c1")
        new = self.owner(layer)
        old.inbox.close()
        await form(layer, "publish", Send("s1!c1", b"x"))
        assert await new.all_items() == [Frame("s1!c1", b"x")]
        await self.wait_until(lambda: layer.statistics().groups == 0)

    # --- questions ---------------------------------------------------------------------------------------------------

    async def answer(self, owner: Owner, answer: object) -> Ask:
        """Wait for one question, and answer it."""
        ask = await owner.wait_item(Ask)
        owner.inbox.answer(ask.token, answer)
        return ask

    @conformance
    async def test_group_channels_asks_the_servers(self, form: Form) -> None:
        """The members are the normal channels, and whatever each server says."""
        layer = self.layer()
        owners = [self.owner(layer, "s1!"), self.owner(layer, "s2!")]
        for channel in ("s1!c1", "s2!c1", "numbers"):
            await form(layer, "group_add", "g", channel)
        for owner in owners:
            await owner.wait_item(Add)
        asking = asyncio.create_task(form(layer, "group_channels", "g"))
        asks = [await self.answer(owner, [f"{owner.prefix}c1"]) for owner in owners]
        assert {(ask.question, ask.about) for ask in asks} == {("members", "g")}
        assert sorted(await asking) == ["numbers", "s1!c1", "s2!c1"]

    @conformance
    async def test_state_asks_the_server(self, form: Form) -> None:
        """The state of a connection is what its server says, and empty when there is no such server."""
        layer = self.layer()
        owner = self.owner(layer)
        assert await form(layer, "state", "gone!c1") == {}
        asking = asyncio.create_task(form(layer, "state", "s1!c1"))
        ask = await self.answer(owner, {"k": encode_message({"a": 1})})
        assert (ask.question, ask.about) == ("state", "s1!c1")
        assert await asking == {"k": encode_message({"a": 1})}
        asking = asyncio.create_task(form(layer, "state", "s1!gone"))
        await self.answer(owner, {})
        assert await asking == {}

    @conformance
    async def test_a_server_that_goes_away_answers_nothing(self, form: Form) -> None:
        """Its members went with it, so nobody waits for it."""
        layer = self.layer()
        owner = self.owner(layer)
        await form(layer, "group_add", "g", "s1!c1")
        await owner.wait_item(Add)
        asking = asyncio.create_task(form(layer, "group_channels", "g"))
        await owner.wait_item(Ask)
        asking_state = asyncio.create_task(form(layer, "state", "s1!c1"))
        await owner.wait_item(Ask)
        owner.inbox.close()
        assert await asking == []
        assert await asking_state == {}

    @conformance
    async def test_a_server_that_does_not_answer(self, form: Form) -> None:
        """After a while the question is given up; a late answer, or a second one, goes to nobody."""
        layer = self.layer()
        owner, other = self.owner(layer), self.owner(layer, "s2!")
        for channel in ("s1!c1", "s2!c1"):
            await form(layer, "group_add", "g", channel)
            await (owner if channel.startswith("s1") else other).wait_item(Add)
        async with asyncio.timeout(self.answer_timeout * 1.8):
            await raised(LayerUnavailable, form, layer, "group_channels", "g")
        ask = await owner.wait_item(Ask)
        for _ in range(2):
            owner.inbox.answer(ask.token, ["late"])
        asking = asyncio.create_task(form(layer, "state", "s1!c1"))
        ask = await self.answer(owner, {"k": b"\x01"})
        owner.inbox.answer(ask.token, {"k": b"\x02"})
        assert await asking == {"k": b"\x01"}
