"""Readers: who gets a delivery, fairness, giving back, stopping, and readers that die."""

import asyncio

from fairway.broker.effects import Abandoned, Done, Frame, Policy, Send
from fairway.errors import ChannelFull, ChannelGone, DeliveryLost, InvalidName
from fairway.layers.base import Reader
from fairway.limits import ChannelRule
from fairway.testing.layer_conformance.base import ConformanceBase, Form, conformance, number, read
from fairway.testing.layer_conformance.sending import raised


async def assert_lost(form: Form, reader: Reader, verb: str, *args: object) -> None:
    """The verb finds that the delivery is not this reader's any more."""
    try:
        await form(reader, verb, *args)
    except DeliveryLost:
        return
    raise AssertionError(f"{verb} did not notice that the delivery was lost")


class ReaderConformance(ConformanceBase):
    """`reader` and what its sessions promise."""

    @conformance
    async def test_wrong_channels(self, form: Form) -> None:
        """A reader names channels that can be read; one connection's is not among them."""
        del form
        layer = self.layer()
        for name in ("a b", "s1!c1", "a?", ""):
            try:
                layer.reader([name])
            except InvalidName:
                continue
            raise AssertionError(f"{name!r} was taken")
        await self.wait_until(lambda: layer.statistics().sessions == 0)

    @conformance
    async def test_receiving_nothing(self, form: Form) -> None:
        """With a timeout, None comes back; a message that comes in time comes at once."""
        layer = self.layer()
        reader = layer.reader(["numbers", "numbers"])
        assert await form(reader, "receive", 0) is None
        await self.assert_quiet(form, reader)
        await form(layer, "publish", number(1))
        receiving = asyncio.create_task(form(reader, "receive", None))
        await form(reader, "commit", await receiving)
        await self.wait_until(lambda: layer.statistics().held_bytes == 0)

    @conformance
    async def test_each_message_goes_to_one_reader(self, form: Form) -> None:
        """Several readers share the work: nothing is lost, nothing is delivered twice."""
        layer = self.layer()
        readers = [layer.reader(["numbers"]) for _ in range(3)]
        found: list[int] = []

        async def consume(reader: Reader) -> None:
            while delivery := await form(reader, "receive", None):
                found.append(read(delivery))
                await form(reader, "commit", delivery)

        consuming = [asyncio.create_task(consume(reader)) for reader in readers]
        for value in range(60):
            await form(layer, "send", "numbers", {"n": value})
        await self.wait_until(lambda: layer.statistics().committed == 60)
        for reader in readers:
            await asyncio.to_thread(reader.pause)
        await asyncio.gather(*consuming)
        assert sorted(found) == list(range(60))

    @conformance
    async def test_idle_readers_come_first(self, form: Form) -> None:
        """A message goes to a reader that waits, not to one that holds something."""
        layer = self.layer()
        busy, idle = layer.reader(["numbers"], 8), layer.reader(["numbers"], 8)
        await form(layer, "publish", number(0))
        await self.receive(form, busy)
        waiting = asyncio.create_task(self.numbers(form, idle, 3))
        for value in (1, 2, 3):
            await form(layer, "publish", number(value))
        assert await waiting == [1, 2, 3]

    @conformance
    async def test_a_busy_channel_does_not_starve_a_quiet_one(self, form: Form) -> None:
        """A reader of both gets the one message of the quiet channel among the first few."""
        layer = self.layer()
        for value in range(50):
            await form(layer, "send", "busy", {"n": value})
        await form(layer, "send", "quiet", {"n": -1})
        reader = layer.reader(["busy", "quiet"])
        assert -1 in await self.numbers(form, reader, 8)

    @conformance
    async def test_release_puts_back_in_front(self, form: Form) -> None:
        """What was not begun goes to the front, its attempt unchanged, whatever its policy."""
        layer = self.layer(("websocket.receive", ChannelRule(attempts=1)))
        owner = self.owner(layer)
        for order in (0, 1, 2):
            self.submit(owner, "websocket.receive", order, policy=Policy.ONCE)
        reader = layer.reader(["websocket.receive"], 4)
        held = [await self.receive(form, reader) for _ in range(2)]
        for delivery in reversed(held):
            reader.release(delivery)
            reader.release(delivery)
        await assert_lost(form, reader, "commit", held[0])
        again = [await self.receive(form, reader) for _ in range(3)]
        assert [(read(delivery), delivery.envelope.attempt) for delivery in again] == [(0, 1), (1, 1), (2, 1)]

    @conformance
    async def test_a_dead_reader_loses_nothing(self, form: Form) -> None:
        """What it held goes to another in its order, one attempt later; its own late commit publishes nothing."""
        layer = self.layer()
        owner = self.owner(layer)
        dead, other = layer.reader(["numbers"], 8), layer.reader(["numbers"], 8)
        for value in range(4):
            await form(layer, "publish", number(value))
        held = [await self.receive(form, dead) for _ in range(3)]
        self.kill(dead)
        await asyncio.sleep(self.death_notice)
        again = [await self.receive(form, other) for _ in range(4)]
        found = [(read(delivery), delivery.envelope.attempt) for delivery in again]
        assert found == [(0, 2), (1, 2), (2, 2), (3, 1)]
        assert {one.envelope.id for one in held} == {one.envelope.id for one in again[:3]}
        assert [one.envelope.attempt for one in held] == [1, 1, 1]
        await assert_lost(form, dead, "commit", held[0], [Send("s1!c1", b"late"), number(9, "others")])
        for delivery in again:
            await form(other, "commit", delivery)
        assert await owner.all_items() == []
        await self.assert_quiet(form, layer.reader(["others"]))
        await self.wait_until(lambda: layer.statistics().held_bytes == 0)

    @conformance
    async def test_a_receipt_commits_once(self, form: Form) -> None:
        """Nor can another session commit it."""
        layer = self.layer()
        reader, other = layer.reader(["numbers"]), layer.reader(["numbers"])
        await form(layer, "publish", number(1))
        delivery = await self.receive(form, reader)
        await assert_lost(form, other, "commit", delivery, [number(2)])
        other.release(delivery)
        await form(reader, "commit", delivery)
        await assert_lost(form, reader, "commit", delivery, [number(3)])
        await self.assert_quiet(form, reader)
        await self.wait_until(lambda: layer.statistics().committed == 1)

    @conformance
    async def test_attempts_run_out(self, form: Form) -> None:
        """After its last attempt a message is a dead letter, and its connection is told."""
        layer = self.layer(("websocket.receive", ChannelRule(attempts=2)))
        owner = self.owner(layer)
        reply = self.submit(owner, "websocket.receive", 5)
        for attempt in (1, 2):
            reader = layer.reader(["websocket.receive"])
            assert (await self.receive(form, reader)).envelope.attempt == attempt
            self.kill(reader)
            await asyncio.sleep(self.death_notice)
        assert await owner.wait_item(Abandoned) == Abandoned(reply, 5, "attempts", 2)
        await self.assert_quiet(form, layer.reader(["websocket.receive"]))
        await self.wait_until(lambda: layer.statistics().dead_letters == 1)

    @conformance
    async def test_once_means_once(self, form: Form) -> None:
        """A message that may not run twice is lost with its worker, and its connection is told."""
        layer = self.layer()
        owner = self.owner(layer)
        reply = self.submit(owner, "http.request", 0, policy=Policy.ONCE)
        reader = layer.reader(["http.request"])
        await self.receive(form, reader)
        self.kill(reader)
        assert await owner.wait_item(Abandoned) == Abandoned(reply, 0, "lost", 1)
        await self.assert_quiet(form, layer.reader(["http.request"]))
        await self.wait_until(lambda: layer.statistics().held_bytes == 0)

    @conformance
    async def test_a_response_is_not_begun_twice(self, form: Form) -> None:
        """The first immediate answer turns its request into one that is never delivered again; other sends do not."""
        layer = self.layer()
        owner = self.owner(layer)
        reply = self.submit(owner, "http.request", 0)
        first = layer.reader(["http.request"])
        delivery = await self.receive(form, first)
        await form(first, "publish", delivery, Send("s1!other", b"x"))
        self.kill(first)
        await asyncio.sleep(self.death_notice)
        second = layer.reader(["http.request"])
        delivery = await self.receive(form, second)
        assert delivery.envelope.attempt == 2
        await form(second, "publish", delivery, Send(reply, b"begun"))
        self.kill(second)
        items = await owner.wait_items(3)
        assert items == [Frame("s1!other", b"x"), Frame(reply, b"begun"), Abandoned(reply, 0, "lost", 2)]
        await assert_lost(form, second, "publish", delivery, Send(reply, b"late"))
        await self.assert_quiet(form, layer.reader(["http.request"]))

    @conformance
    async def test_an_answer_waits_for_its_client(self, form: Form) -> None:
        """A publish from inside a run is slowed as any direct send is, and its commit says done."""
        layer = self.layer()
        owner = self.owner(layer)
        reply = self.submit(owner, "http.request", 0)
        reader = layer.reader(["http.request"])
        delivery = await self.receive(form, reader)
        owner.inbox.congest(reply)

        async def is_refused() -> bool:
            try:
                await form(reader, "publish", delivery, Send(reply, b""), 0)
            except ChannelFull:
                return True
            return False

        while not await is_refused():
            await owner.all_items()
        writing = asyncio.create_task(form(reader, "publish", delivery, Send(reply, b"chunk"), self.deadline))
        await self.wait_until(lambda: layer.statistics().held_bytes >= len(delivery.body) + 5)
        owner.inbox.relieve(reply)
        await writing
        await form(reader, "commit", delivery)
        assert [item for item in await owner.wait_items(2) if item != Frame(reply, b"")] == [
            Frame(reply, b"chunk"),
            Done(reply, 0),
        ]

    @conformance
    async def test_a_consumer_notices_that_its_client_is_gone(self, form: Form) -> None:
        """After `depart` a publish to the own connection raises ChannelGone; elsewhere it is dropped as ever."""
        layer = self.layer()
        owner = self.owner(layer)
        reply = self.submit(owner, "http.request", 0)
        reader = layer.reader(["http.request"])
        delivery = await self.receive(form, reader)
        owner.inbox.depart(reply)
        await self.wait_gone(form, reader, delivery)
        await form(layer, "publish", Send(reply, b"x"))
        await form(reader, "publish", delivery, Send("gone!c1", b"x"))
        owner.inbox.relieve(reply)
        await self.wait_published(form, reader, delivery)
        owner.inbox.close()
        await self.wait_gone(form, reader, delivery)

    async def wait_gone(self, form: Form, reader: Reader, delivery: object) -> None:
        """Wait until a publish to the delivery's own connection says that it has ended."""
        async with asyncio.timeout(self.deadline):
            while True:
                try:
                    await form(reader, "publish", delivery, Send("s1!c1", b""))
                except ChannelGone:
                    return

    async def wait_published(self, form: Form, reader: Reader, delivery: object) -> None:
        """Wait until a publish to the delivery's own connection goes in; its owner's word may be on its way."""
        async with asyncio.timeout(self.deadline):
            while True:
                try:
                    await form(reader, "publish", delivery, Send("s1!c1", b""))
                except ChannelGone:
                    continue
                return

    @conformance
    async def test_pause(self, form: Form) -> None:
        """A paused reader gets nothing more, lets those who wait go, and commits what it holds."""
        layer = self.layer()
        reader = layer.reader(["numbers"], 4)
        await form(layer, "publish", number(1))
        delivery = await self.receive(form, reader)
        waiting = [asyncio.create_task(form(reader, "receive", None)) for _ in range(2)]
        await self.assert_quiet(form, layer.reader(["others"]))
        await asyncio.to_thread(reader.pause)
        assert await asyncio.gather(*waiting) == [None, None]
        await form(layer, "publish", number(2))
        assert await form(reader, "receive", None) is None
        await form(reader, "commit", delivery, [number(3)])
        assert await self.numbers(form, layer.reader(["numbers"]), 2) == [2, 3]
        await asyncio.to_thread(reader.pause)

    @conformance
    async def test_close(self, form: Form) -> None:
        """A closed reader lets those who wait go; closing it twice is fine."""
        layer = self.layer()
        reader = layer.reader(["numbers"])
        waiting = asyncio.create_task(form(reader, "receive", None))
        await self.assert_quiet(form, layer.reader(["others"]))
        await asyncio.to_thread(reader.close)
        assert await waiting is None
        await asyncio.to_thread(reader.close)
        assert await form(reader, "receive", None) is None
        await form(layer, "publish", number(1))
        assert await self.numbers(form, layer.reader(["numbers"]), 1) == [1]

    @conformance
    async def test_process_specific_channels_have_one_reader(self, form: Form) -> None:
        """A reader of a prefix gets all below it, in order, with the full name; without it nothing is kept."""
        layer = self.layer()
        await form(layer, "send", "view.A!1", {"n": 0})
        await form(layer, "send", "view.A!", {"n": 0})
        await self.wait_until(lambda: layer.statistics().held_bytes == 0)
        reader = layer.reader(["view.A!"], 4)
        for value, name in enumerate(["view.A!1", "view.A!2", "view.A!", "view.A!1"]):
            await form(layer, "send", name, {"n": value})
        found = [await self.receive(form, reader) for _ in range(4)]
        assert [(read(one), one.envelope.channel) for one in found] == [
            (0, "view.A!1"),
            (1, "view.A!2"),
            (2, "view.A!"),
            (3, "view.A!1"),
        ]
        self.kill(reader)
        await self.wait_until(lambda: layer.statistics().held_bytes == 0)

    @conformance
    async def test_wrong_sends_from_inside_a_run(self, form: Form) -> None:
        """A run's immediate send finds a full channel as any other does."""
        layer = self.layer(("full", ChannelRule(capacity=0)))
        reader = layer.reader(["numbers"])
        await form(layer, "publish", number(1))
        delivery = await self.receive(form, reader)
        try:
            await form(reader, "publish", delivery, number(2, "full"))
        except ChannelFull:
            await raised(ChannelFull, form, layer, "publish", number(2, "full"))
            return
        raise AssertionError("a channel without capacity took a message")
