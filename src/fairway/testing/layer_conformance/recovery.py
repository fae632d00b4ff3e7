"""Recovery: an owner that has lost its line comes back, and dead letters are decided about."""

import asyncio

from fairway.broker.effects import Abandoned, Add, Announced, Done, Ending, Frame, GroupFrame, Send
from fairway.layers.base import DeadLetter, Layer
from fairway.limits import ChannelRule
from fairway.testing.layer_conformance.base import ConformanceBase, Form, Owner, conformance, number


class RecoveryConformance(ConformanceBase):
    """`announce`, messages that are submitted again, and `dead_letters` with what follows."""

    # --- an owner that comes back ------------------------------------------------------------------------------------

    @conformance
    async def test_announced_groups_are_memberships(self, form: Form) -> None:
        """Once an owner is told that its groups are known, every send that begins later reaches it."""
        layer = self.layer()
        self.owner(layer)
        await form(layer, "group_add", "g", "s1!c1")
        back = self.owner(layer)
        back.inbox.announce(["g", "h"])
        first, second = await back.wait_item(Announced), await back.wait_item(Announced)
        assert (first.group, second.group) == ("g", "h")
        for group in ("g", "h"):
            await form(layer, "send_group", group, {})
        assert [(await back.wait_item(GroupFrame)).group for _ in range(2)] == ["g", "h"]

    @conformance
    async def test_an_announced_group_is_left_as_any_other(self, form: Form) -> None:
        """With its generation; an add that came after it keeps the membership."""
        layer = self.layer()
        owner = self.owner(layer)
        owner.inbox.announce(["g", "h"])
        first, second = await owner.wait_item(Announced), await owner.wait_item(Announced)
        await form(layer, "group_add", "g", "s1!c1")
        assert (await owner.wait_item(Add)).generation > first.generation
        owner.inbox.leave("g", first.generation)
        owner.inbox.leave("h", second.generation)
        await self.wait_until(lambda: layer.statistics().groups == 1)
        await form(layer, "send_group", "g", {})
        assert (await owner.wait_item(GroupFrame)).group == "g"

    async def wait_waiting(self, layer: Layer, channel: str, count: int) -> None:
        """Wait until so many messages wait for a reader: what an owner submits may be on its way."""

        def is_there() -> bool:
            found = layer.statistics().channels.get(channel)
            return found is not None and found.waiting == count

        await self.wait_until(is_there)

    @conformance
    async def test_what_the_layer_has_is_not_taken_again(self, form: Form) -> None:
        """A message that its owner sends again while it waits, or is consumed, is consumed once, and `done` is told."""
        layer = self.layer()
        lost = self.owner(layer)
        reply = self.submit(lost, "websocket.receive", 0)
        self.submit(lost, "websocket.receive", 1)
        await self.wait_waiting(layer, "websocket.receive", 2)
        reader = layer.reader(["websocket.receive"])
        held = await self.receive(form, reader)
        back = self.owner(layer)
        for order in range(2):
            self.submit(back, "websocket.receive", order, attempt=2)
        await self.wait_until(lambda: layer.statistics().repeats_dropped == 2)
        await form(reader, "commit", held, [Send(reply, b"x")])
        await form(reader, "commit", await self.receive(form, reader))
        assert await back.wait_items(3) == [Frame(reply, b"x"), Done(reply, 0), Done(reply, 1)]
        await self.assert_quiet(form, reader)

    @conformance
    async def test_what_the_layer_has_not_is_taken_with_its_attempts(self, form: Form) -> None:
        """A message whose end its owner has not heard of runs again, and says so; a worker's death counts on."""
        layer = self.layer(("websocket.receive", ChannelRule(attempts=3)))
        lost = self.owner(layer)
        reply = self.submit(lost, "websocket.receive", 0)
        reader = layer.reader(["websocket.receive"])
        await form(reader, "commit", await self.receive(form, reader))
        await self.wait_until(lambda: layer.statistics().held_bytes == 0)  # the commit may be on its way
        back = self.owner(layer)
        self.submit(back, "websocket.receive", 0, attempt=2)
        assert (await self.receive(form, reader)).envelope.attempt == 2
        for attempt in (3, None):
            self.kill(reader)
            await asyncio.sleep(self.death_notice)
            reader = layer.reader(["websocket.receive"])
            if attempt:
                assert (await self.receive(form, reader)).envelope.attempt == attempt
        assert await back.wait_item(Abandoned) == Abandoned(reply, 0, "attempts", 3)

    # --- dead letters ------------------------------------------------------------------------------------------------

    async def bury(self, form: Form, layer: Layer, owner: Owner, *orders: int) -> None:
        """Let messages of connection `c1` become dead letters; the channel's rule allows one attempt."""
        for order in orders:
            reply = self.submit(owner, "websocket.receive", order)
            reader = layer.reader(["websocket.receive"])
            await self.receive(form, reader)
            self.kill(reader)
            await asyncio.sleep(self.death_notice)
            assert await owner.wait_item(Abandoned) == Abandoned(reply, order, "attempts", 1)

    async def dead(self, layer: Layer, limit: int = 100) -> list[DeadLetter]:
        """Return the dead letters."""
        return await asyncio.to_thread(layer.dead_letters, limit)

    @conformance
    async def test_a_dead_letter_is_kept_with_its_history(self, form: Form) -> None:
        """Anybody can look at it; the newest comes first."""
        layer = self.layer(("websocket.receive", ChannelRule(attempts=1)), requeues=1, requeue_pause=0.001)
        owner = self.owner(layer)
        assert await self.dead(layer) == []
        await self.bury(form, layer, owner, 0)
        await form(layer, "publish", number(7))
        reader = layer.reader(["numbers"])
        for _ in range(2):
            await form(reader, "commit", await self.receive(form, reader), [], Ending.LATER)
        await self.wait_until(lambda: layer.statistics().dead_letters == 2)
        newest, oldest = await self.dead(self.make_rival(layer))
        assert (newest.channel, newest.reason, newest.retries, newest.body) == ("numbers", "retries", 2, number(7).body)
        assert (oldest.id, oldest.channel, oldest.reply_channel) == ("s1!.0", "websocket.receive", "s1!c1")
        assert (oldest.reason, oldest.attempts, oldest.retries) == ("attempts", 1, 0)
        assert oldest.body == number(0).body
        assert oldest.age >= newest.age >= 0
        assert [letter.channel for letter in await self.dead(layer, 1)] == ["numbers"]

    @conformance
    async def test_a_dead_letter_can_be_put_back(self, form: Form) -> None:
        """It runs as if for the first time, under its own id; its connection, long answered, hears nothing of it."""
        layer = self.layer(("websocket.receive", ChannelRule(attempts=1)))
        owner = self.owner(layer)
        await self.bury(form, layer, owner, 0, 1)
        self.submit(owner, "websocket.receive", 2)
        await self.wait_waiting(layer, "websocket.receive", 1)
        assert await asyncio.to_thread(layer.requeue_dead, ["s1!.0", "unknown"]) == 1
        reader = layer.reader(["websocket.receive"])
        found = []
        for _ in range(2):
            delivery = await self.receive(form, reader)
            found.append((delivery.envelope.id, delivery.envelope.attempt, delivery.envelope.order))
            await form(reader, "commit", delivery)
        assert found == [("s1!.2", 1, 2), ("s1!.0", 1, -1)]
        assert await owner.wait_item(Done) == Done("s1!c1", 2)
        assert await owner.all_items() == []
        assert [letter.id for letter in await self.dead(layer)] == ["s1!.1"]

    @conformance
    async def test_a_dead_letter_can_be_dropped(self, form: Form) -> None:
        """Then nothing is left of it; and one that is put back needs room."""
        layer = self.layer(("websocket.receive", ChannelRule(attempts=1, capacity=1)))
        owner = self.owner(layer)
        await self.bury(form, layer, owner, 0, 1, 2)
        assert await asyncio.to_thread(layer.requeue_dead, ["s1!.0", "s1!.1"]) == 1
        assert await asyncio.to_thread(layer.drop_dead, ["s1!.1", "unknown"]) == 1
        assert [letter.id for letter in await self.dead(layer)] == ["s1!.2"]
        assert await asyncio.to_thread(layer.drop_dead, ["s1!.1"]) == 0
        assert await self.numbers(form, layer.reader(["websocket.receive"]), 1) == [0]
