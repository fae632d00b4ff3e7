"""Commits: one step, effects that find no room, `ConsumeLater`, and dead letters."""

import asyncio
import time
from unittest import SkipTest

from fairway.broker.effects import Abandoned, Again, Done, Effect, Ending, Frame, SaveState, Send
from fairway.limits import ChannelRule
from fairway.testing.layer_conformance.base import ConformanceBase, Form, conformance, number, read


class CommitConformance(ConformanceBase):
    """`commit` and its endings."""

    @conformance
    async def test_outbox_and_done_appear_together(self, form: Form) -> None:
        """Whoever looks sees nothing of a commit, or all of it."""
        if not self.atomic_across_queues:
            raise SkipTest("this layer publishes effects one after the other")
        layer = self.layer()
        owner = self.owner(layer)
        reader = layer.reader(["websocket.receive"])
        seen: list[int] = []
        done = asyncio.Event()

        async def watch() -> None:
            while not done.is_set():
                found = owner.inbox.drain()
                if found:
                    seen.append(len(found))
                await asyncio.sleep(0)

        watching = asyncio.create_task(watch())
        for order in range(20):
            reply = self.submit(owner, "websocket.receive", order)
            delivery = await self.receive(form, reader)
            await form(reader, "commit", delivery, [Send(reply, b"1"), Send(reply, b"2")])
        await self.wait_until(lambda: sum(seen) == 60)
        done.set()
        await watching
        assert all(count % 3 == 0 for count in seen)

    @conformance
    async def test_nothing_of_a_run_leaves_before_its_commit(self, form: Form) -> None:
        """And what it held is free afterwards."""
        layer = self.layer()
        reader, others = layer.reader(["numbers"]), layer.reader(["others"])
        await form(layer, "publish", number(1))
        delivery = await self.receive(form, reader)
        outbox: list[Effect] = [number(value, "others") for value in range(5)]
        await self.assert_quiet(form, others)
        await form(reader, "commit", delivery, outbox)
        assert await self.numbers(form, others, 5) == list(range(5))
        await self.wait_until(lambda: layer.statistics().held_bytes == 0)
        await self.wait_until(lambda: layer.statistics().committed == 6)

    @conformance
    async def test_effects_have_ids_of_their_own(self, form: Form) -> None:
        """An effect is named after the delivery and its place, so a run that is repeated elsewhere sends no twins."""
        layer = self.layer()
        reader, others = layer.reader(["numbers"]), layer.reader(["others"], 4)
        await form(layer, "publish", number(1))
        first = await self.receive(form, reader)
        await form(reader, "commit", first, [number(1, "others"), number(2, "others")], Ending.LATER)
        second = await self.receive(form, reader)
        await form(reader, "commit", second, [number(3, "others")])
        ids = [(await self.receive(form, others)).envelope.id for _ in range(3)]
        assert len(set(ids)) == 3
        assert all(one.startswith(first.envelope.id) for one in ids)

    @conformance
    async def test_a_commit_waits_for_a_full_channel(self, form: Form) -> None:
        """The commit itself returns at once; the effect goes in when there is room."""
        layer = self.layer(("others", ChannelRule(capacity=1)))
        reader = layer.reader(["numbers"])
        await form(layer, "publish", number(0))
        delivery = await self.receive(form, reader)
        start = time.monotonic()
        await form(reader, "commit", delivery, [number(value, "others") for value in range(3)])
        assert time.monotonic() - start < 1
        assert await self.numbers(form, layer.reader(["others"]), 3) == [0, 1, 2]
        await self.wait_until(lambda: layer.statistics().dead_letters == 0)

    @conformance
    async def test_a_full_channel_costs_one_effect(self, form: Form) -> None:
        """After its time in vain that effect is a dead letter; the rest of the outbox was published."""
        layer = self.layer(("others", ChannelRule(capacity=1)), commit_wait=0.05)
        owner = self.owner(layer)
        reply = self.submit(owner, "websocket.receive", 0)
        reader = layer.reader(["websocket.receive"])
        delivery = await self.receive(form, reader)
        outbox = [number(1, "others"), number(2, "others"), Send(reply, b"x"), number(3, "more")]
        await form(reader, "commit", delivery, outbox)
        assert await owner.wait_items(2) == [Frame(reply, b"x"), Done(reply, 0)]
        await self.wait_until(lambda: layer.statistics().dead_letters == 1)
        assert await self.numbers(form, layer.reader(["others", "more"]), 2) == [1, 3]
        await self.wait_until(lambda: layer.statistics().held_bytes == 0)

    @conformance
    async def test_a_commit_needs_no_memory(self, form: Form) -> None:
        """When the layer is full of messages, commits go on: they are what empties it."""
        layer = self.layer(total=100)
        owner = self.owner(layer)
        reader = layer.reader(["big"])
        await form(layer, "publish", Send("big", bytes(100)))
        delivery = await self.receive(form, reader)
        await form(reader, "commit", delivery, [Send("s1!c1", bytes(90)), number(1)])
        assert await owner.wait_items(1) == [Frame("s1!c1", bytes(90))]
        assert await self.numbers(form, layer.reader(["numbers"]), 1) == [1]

    # --- ConsumeLater ------------------------------------------------------------------------------------------------

    @conformance
    async def test_later_comes_back_after_a_growing_pause(self, form: Form) -> None:
        """The outbox is published each time, `done` is not said, and the pause doubles."""
        layer = self.layer(requeue_pause=0.04)
        owner = self.owner(layer)
        reply = self.submit(owner, "websocket.receive", 4)
        reader = layer.reader(["websocket.receive"])
        pauses = []
        start = time.monotonic()
        for retries in range(3):
            delivery = await self.receive(form, reader)
            pauses.append(time.monotonic() - start)
            envelope = delivery.envelope
            assert (envelope.retries, envelope.attempt, envelope.order) == (retries, 1, 4)
            start = time.monotonic()
            await form(reader, "commit", delivery, [Send(reply, b"x")], Ending.LATER)
        assert pauses[1] > 0.03
        assert pauses[2] > 0.07
        await form(reader, "commit", await self.receive(form, reader))
        assert await owner.all_items() == [*[Frame(reply, b"x")] * 3, Done(reply, 4)]

    @conformance
    async def test_later_has_a_limit(self, form: Form) -> None:
        """Then the message is a dead letter, and its connection is told."""
        layer = self.layer(requeues=2, requeue_pause=0.001)
        owner = self.owner(layer)
        reply = self.submit(owner, "websocket.receive", 0)
        reader = layer.reader(["websocket.receive"])
        for _ in range(3):
            await form(reader, "commit", await self.receive(form, reader), [], Ending.LATER)
        assert await owner.wait_item(Abandoned) == Abandoned(reply, 0, "retries", 1)
        await self.wait_until(lambda: layer.statistics().dead_letters == 1)
        await self.wait_until(lambda: layer.statistics().held_bytes == 0)
        await self.assert_quiet(form, reader)

    @conformance
    async def test_again_comes_back_on_its_own_terms(self, form: Form) -> None:
        """After its own pause, as often as it says; then it is a dead letter with its own reason."""
        layer = self.layer(requeues=1, requeue_pause=30)
        owner = self.owner(layer)
        reply = self.submit(owner, "websocket.receive", 0)
        reader = layer.reader(["websocket.receive"])
        for retries in range(3):
            delivery = await self.receive(form, reader)
            assert delivery.envelope.retries == retries
            await form(reader, "commit", delivery, [Send(reply, b"x")], Again(0.05, 2, "failed: no luck"))
        frames = [Frame(reply, b"x")] * 3
        assert await owner.wait_items(4) == [*frames, Abandoned(reply, 0, "failed: no luck", 1)]
        await self.wait_until(lambda: [letter.reason for letter in layer.dead_letters()] == ["failed: no luck"])
        await self.wait_until(lambda: layer.statistics().held_bytes == 0)

    @conformance
    async def test_again_never_is_a_dead_letter_at_once(self, form: Form) -> None:
        """With a limit of 0; requeued, its history begins anew."""
        layer = self.layer()
        reader = layer.reader(["numbers"])
        await form(layer, "publish", number(1))
        delivery = await self.receive(form, reader)
        await form(reader, "commit", delivery, [], Again(0, 0, "done"))
        await self.wait_until(lambda: [letter.reason for letter in layer.dead_letters()] == ["done"])
        await self.assert_quiet(form, reader)
        await asyncio.to_thread(layer.requeue_dead, [delivery.envelope.id])
        assert await self.numbers(form, reader, 1) == [1]

    @conformance
    async def test_later_remembers_the_state_that_was_saved(self, form: Form) -> None:
        """The next run of the same message sees what this run saved for its connection, and not for another one."""
        layer = self.layer(requeue_pause=0.001)
        owner = self.owner(layer)
        reply = self.submit(owner, "websocket.receive", 0, state={"a": b"1", "b": b"1"})
        reader = layer.reader(["websocket.receive"])
        delivery = await self.receive(form, reader)
        outbox = [SaveState(reply, {"a": b"2", "b": None}), SaveState("s1!other", {"a": b"3"})]
        await form(reader, "commit", delivery, outbox, Ending.LATER)
        assert (await self.receive(form, reader)).envelope.state == {"a": b"2"}

    @conformance
    async def test_other_messages_pass_by(self, form: Form) -> None:
        """While one message is put off, its channel goes on."""
        layer = self.layer(requeue_pause=0.1)
        reader = layer.reader(["numbers"])
        for value in (1, 2):
            await form(layer, "publish", number(value))
        await form(reader, "commit", await self.receive(form, reader), [], Ending.LATER)
        assert await self.numbers(form, reader, 2) == [2, 1]

    @conformance
    async def test_done_is_for_a_connection(self, form: Form) -> None:
        """A message without an order opens no gate, even if it names a reply channel."""
        layer = self.layer()
        owner = self.owner(layer)
        await form(layer, "publish", Send("numbers", number(1).body, "s1!c1"))
        reader = layer.reader(["numbers"])
        delivery = await self.receive(form, reader)
        assert read(delivery) == 1
        await form(reader, "commit", delivery, [Send("s1!c1", b"x")])
        assert await owner.all_items() == [Frame("s1!c1", b"x")]
