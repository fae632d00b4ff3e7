"""Cancellation at every await: afterwards the call has happened or not, and the next caller gets its own answer.

Each test cancels the same call again and again, a different number of event loop turns after it began.
"""

import asyncio
import random
from collections.abc import Coroutine
from typing import Any

from fairway.broker.effects import Add, Ask, Frame, Send
from fairway.limits import ChannelRule
from fairway.testing.layer_conformance.base import (
    ConformanceBase,
    Form,
    Owner,
    cancellation,
    conformance,
    number,
    read,
)

ROUNDS = 60


async def interrupt(call: Coroutine[Any, Any, Any], turns: int) -> tuple[bool, Any]:
    """Run a call and cancel it after so many turns; return whether it ended by itself, and with what."""
    task = asyncio.create_task(call)
    for _ in range(turns):
        await asyncio.sleep(0)
    task.cancel()
    try:
        return True, await task
    except asyncio.CancelledError:
        return False, None


class CancellationConformance(ConformanceBase):
    """Every coroutine of a layer and of a reader, cancelled."""

    def turns(self) -> random.Random:
        """Return the fixed dice of these tests."""
        return random.Random(7)  # noqa: S311  no secret

    @cancellation
    async def test_receive(self, form: Form) -> None:
        """A delivery that came while its receiver was cancelled goes back, in its place, as if untouched."""
        layer = self.layer()
        reader = layer.reader(["numbers"])
        dice = self.turns()
        found: list[int] = []
        for value in range(ROUNDS):
            receiving = asyncio.create_task(interrupt(reader.areceive(None), dice.randrange(6)))
            for _ in range(dice.randrange(4)):
                await asyncio.sleep(0)
            await layer.apublish(number(value))
            has_ended, delivery = await receiving
            if has_ended:
                assert delivery.envelope.attempt == 1
                found.append(read(delivery))
                await reader.acommit(delivery)
        while len(found) < ROUNDS and (delivery := await reader.areceive(self.deadline)):
            assert delivery.envelope.attempt == 1
            found.append(read(delivery))
            await reader.acommit(delivery)
        assert found == list(range(ROUNDS)), found
        await self.assert_quiet(form, reader)

    @conformance
    async def test_receive_with_a_timeout(self, form: Form) -> None:
        """A timeout that strikes while a delivery comes loses nothing either."""
        layer = self.layer()
        reader = layer.reader(["numbers"])
        dice = self.turns()
        found: list[int] = []

        async def consume() -> None:
            while len(found) < ROUNDS:
                delivery = await form(reader, "receive", dice.random() / 1000)
                if delivery:
                    found.append(read(delivery))
                    await form(reader, "commit", delivery)

        consuming = asyncio.create_task(consume())
        for value in range(ROUNDS):
            await form(layer, "publish", number(value))
        async with asyncio.timeout(self.deadline):
            await consuming
        assert found == list(range(ROUNDS)), found

    @cancellation
    async def test_a_waiting_send(self, form: Form) -> None:
        """A send that was cancelled while it waited is sent once or not at all, and leaves no one in its way."""
        del form
        layer = self.layer(("numbers", ChannelRule(capacity=1)))
        reader = layer.reader(["numbers"])
        dice = self.turns()
        found: list[int] = []
        sent: list[int] = []

        async def take(wait: float) -> None:
            delivery = await reader.areceive(wait)
            if delivery:
                found.append(read(delivery))
                await reader.acommit(delivery)

        for value in range(ROUNDS):
            sending = asyncio.create_task(interrupt(layer.apublish(number(value), self.deadline), dice.randrange(6)))
            for _ in range(dice.randrange(5)):
                await asyncio.sleep(0)
            if dice.random() < 0.5:
                await take(self.quiet)
            has_ended, _ = await sending
            if has_ended:
                sent.append(value)
        while layer.statistics().held_bytes:
            await take(self.quiet)
        assert len(found) == len(set(found))
        assert found == sorted(found)
        assert set(sent) <= set(found)
        await layer.apublish(number(-1))
        await take(self.deadline)
        assert found[-1] == -1

    @cancellation
    async def test_a_send_to_a_slow_client(self, form: Form) -> None:
        """The same for a reply channel, whose owner comes and goes between congested and not."""
        del form
        layer = self.layer()
        owner = self.owner(layer)
        dice, sent = self.turns(), []
        frames: list[int] = []
        for value in range(ROUNDS):
            owner.inbox.congest("s1!c1")
            effect = Send("s1!c1", bytes([value]))
            sending = asyncio.create_task(interrupt(layer.apublish(effect, self.deadline), dice.randrange(6)))
            for _ in range(dice.randrange(4)):
                await asyncio.sleep(0)
            if dice.random() < 0.5:
                owner.inbox.relieve("s1!c1")
            if (await sending)[0]:
                sent.append(value)
        owner.inbox.relieve("s1!c1")
        frames += [item.body[0] for item in await owner.all_items() if isinstance(item, Frame)]
        assert frames == sorted(set(frames))
        assert set(sent) <= set(frames)
        await self.wait_until(lambda: layer.statistics().held_bytes == 0)

    @cancellation
    async def test_an_answer_from_inside_a_run(self, form: Form) -> None:
        """A cancelled `apublish` of a reader is published once or not at all, and its delivery can be committed."""
        layer = self.layer()
        owner = self.owner(layer)
        reader = layer.reader(["websocket.receive"])
        dice = self.turns()
        for order in range(ROUNDS):
            reply = self.submit(owner, "websocket.receive", order)
            delivery = await self.receive(form, reader)
            owner.inbox.congest(reply)
            effect = Send(reply, bytes([order]))
            call = interrupt(reader.apublish(delivery, effect, self.deadline), dice.randrange(5))
            publishing = asyncio.create_task(call)
            if dice.random() < 0.5:
                await asyncio.sleep(0)
                owner.inbox.relieve(reply)
            has_ended, _ = await publishing
            await reader.acommit(delivery)
            owner.inbox.relieve(reply)
            frames = [item for item in await owner.all_items() if isinstance(item, Frame)]
            assert frames in ([[Frame(reply, bytes([order]))]] if has_ended else [[], [Frame(reply, bytes([order]))]])

    @cancellation
    async def test_commit(self, form: Form) -> None:
        """A cancelled commit has happened or not: its effect and its acknowledgement go together."""
        layer = self.layer()
        dice, reader, others = self.turns(), layer.reader(["numbers"]), layer.reader(["others"])
        for value in range(ROUNDS):
            await layer.apublish(number(value))
            delivery = await self.receive(form, reader)
            await interrupt(reader.acommit(delivery, [number(value, "others")]), dice.randrange(4))
            if self.is_leased(layer.statistics().channels["numbers"].leased):
                await reader.acommit(delivery, [number(value, "others")])
            assert await self.numbers(form, others, 1) == [value]
        await self.assert_quiet(form, others)

    def is_leased(self, leased: int) -> bool:
        """Whether a delivery is still held."""
        return leased > 0

    @cancellation
    async def test_questions(self, form: Form) -> None:
        """A question that was cancelled is forgotten, and the next one gets its own answer."""
        del form
        layer = self.layer()
        owner = self.owner(layer)
        await layer.agroup_add("g", "s1!c1")
        await owner.wait_item(Add)
        dice = self.turns()
        asks: list[Ask] = []
        for turn in range(ROUNDS):
            call = layer.agroup_channels("g") if turn % 2 else layer.astate("s1!c1")
            asking = asyncio.create_task(interrupt(call, dice.randrange(5)))
            await asyncio.sleep(0)
            asks += [item for item in owner.inbox.drain() if isinstance(item, Ask)]
            if asks and dice.random() < 0.3:
                self.answer_one(owner, asks.pop(dice.randrange(len(asks))), turn)
            has_ended, answer = await asking
            if has_ended:
                assert answer in (["s1!c1", str(turn)], {"turn": bytes([turn])})
        await interrupt(layer.agroup_channels("g"), 1)
        await owner.all_items()
        last = asyncio.create_task(layer.astate("s1!c1"))
        owner.inbox.answer((await owner.wait_item(Ask)).token, {"k": b"last"})
        assert await last == {"k": b"last"}

    def answer_one(self, owner: Owner, ask: Ask, turn: int) -> None:
        """Answer a question in a way that tells which turn it was."""
        owner.inbox.answer(ask.token, ["s1!c1", str(turn)] if ask.question == "members" else {"turn": bytes([turn])})

    @cancellation
    async def test_groups(self, form: Form) -> None:
        """A cancelled add or discard has happened or not; the next one is as sure as ever."""
        layer = self.layer()
        dice, reader = self.turns(), layer.reader(["numbers"])
        for value in range(ROUNDS):
            await interrupt(layer.agroup_add("g", "numbers"), dice.randrange(4))
            await layer.agroup_add("g", "numbers")
            await layer.asend_group("g", {"n": value})
            assert await self.numbers(form, reader, 1) == [value]
            await interrupt(layer.agroup_discard("g", "numbers"), dice.randrange(4))
            await layer.agroup_discard("g", "numbers")
            assert await layer.agroup_channels("g") == []

    @cancellation
    async def test_a_pause_leaves_nothing_behind(self, form: Form) -> None:
        """What was on its way when a reader was paused goes back untouched: it has cost nobody an attempt."""
        layer = self.layer()
        dice = self.turns()
        for value in range(5):
            await layer.apublish(number(value))
        for _ in range(ROUNDS):
            reader = layer.reader(["numbers"])
            has_ended, delivery = await interrupt(reader.areceive(None), dice.randrange(20))
            await asyncio.to_thread(reader.pause)
            if has_ended:
                reader.release(delivery)
            reader.close()
        last = layer.reader(["numbers"])
        found = [await self.receive(form, last) for _ in range(5)]
        assert {delivery.envelope.attempt for delivery in found} == {1}
        assert sorted(map(read, found)) == list(range(5))
