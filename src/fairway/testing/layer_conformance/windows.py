"""Windows: what a session may hold, and who is handed a delivery first."""

import asyncio

from fairway.testing.layer_conformance.base import ConformanceBase, Form, conformance, number, read


class WindowConformance(ConformanceBase):
    """`threads` and `widen`: for layers that fetch ahead, and harmless for those that do not."""

    @conformance
    async def test_an_idle_thread_comes_first(self, form: Form) -> None:
        """A message goes to the session with an idle thread, not to one that could only keep it."""
        layer = self.layer()
        busy, idle = layer.reader(["numbers"], 8, 1), layer.reader(["numbers"], window=8, threads=1)
        await form(layer, "publish", number(0))
        held = await self.receive(form, busy)
        for value in range(1, 10):
            await form(layer, "publish", number(value))
            assert await self.numbers(form, idle, 1) == [value]
        await form(busy, "commit", held)
        await self.wait_until(lambda: layer.statistics().held_bytes == 0)

    @conformance
    async def test_nothing_is_stranded_behind_a_busy_thread(self, form: Form) -> None:
        """What a session has fetched and cannot begin goes to others, if after what it had not fetched."""
        layer = self.layer()
        busy = layer.reader(["numbers"], 8, 1)
        for value in range(5):
            await form(layer, "publish", number(value))
        held = await self.receive(form, busy)
        idle = layer.reader(["numbers"], 8, 1)
        assert sorted(await self.numbers(form, idle, 4)) == [1, 2, 3, 4]
        await form(busy, "commit", held)

    @conformance
    async def test_a_session_holds_its_window_and_what_it_was_widened_by(self, form: Form) -> None:
        """Consumers that hold no thread may be as many as `widen` allows."""
        layer = self.layer()
        reader = layer.reader(["numbers"], 1, 1)
        await asyncio.to_thread(reader.widen, 3)
        for value in range(4):
            await form(layer, "publish", number(value))
        held = [await self.receive(form, reader) for _ in range(4)]
        assert [read(delivery) for delivery in held] == [0, 1, 2, 3]
        for delivery in held:
            await form(reader, "commit", delivery)
        await self.wait_until(lambda: layer.statistics().held_bytes == 0)
