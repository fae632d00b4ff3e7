"""Threads and event loops at once on one layer, loops that die, callbacks that call back, and the end of it all."""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from fairway.broker.effects import Add, Ask, Delivery, Frame, Send
from fairway.errors import LayerUnavailable
from fairway.layers.base import Inbox, Layer, Reader
from fairway.limits import ChannelRule
from fairway.testing.layer_conformance.base import ConformanceBase, Form, conformance, number, read
from fairway.testing.layer_conformance.sending import raised

COUNT = 40


class ConcurrencyConformance(ConformanceBase):
    """A layer is safe to share."""

    @conformance
    async def test_threads_and_loops_at_once(self, form: Form) -> None:
        """Two event loops and two threads send and consume through one layer and one shared reader."""
        layer = self.layer(("numbers", ChannelRule(capacity=5)))
        owner = self.owner(layer)
        reader = layer.reader(["numbers"], 4)
        found: list[int] = []

        def send_blocking(first: int) -> None:
            for value in range(first, first + COUNT):
                layer.publish(number(value), self.deadline)

        async def send(first: int) -> None:
            for value in range(first, first + COUNT):
                await layer.apublish(number(value), self.deadline)

        def consume_blocking() -> None:
            while delivery := reader.receive(None):
                found.append(read(delivery))
                reader.commit(delivery, [Send("s1!c1", delivery.body)])

        async def consume() -> None:
            while delivery := await reader.areceive(None):
                found.append(read(delivery))
                await reader.acommit(delivery, [Send("s1!c1", delivery.body)])

        def in_a_loop(coroutine: Callable[[], object]) -> None:
            with asyncio.Runner(loop_factory=form.new_loop) as runner:
                runner.run(coroutine())  # type: ignore[arg-type]

        with ThreadPoolExecutor(6) as pool:
            loop = asyncio.get_running_loop()
            consuming = [
                loop.run_in_executor(pool, consume_blocking),
                loop.run_in_executor(pool, in_a_loop, consume),
                asyncio.create_task(consume()),
            ]
            sending = [
                loop.run_in_executor(pool, send_blocking, 0),
                loop.run_in_executor(pool, in_a_loop, lambda: send(COUNT)),
                asyncio.create_task(send(2 * COUNT)),
            ]
            try:
                await asyncio.gather(*sending)
                await owner.wait_items(3 * COUNT)
            finally:
                reader.close()
            await asyncio.gather(*consuming)
        assert sorted(found) == list(range(3 * COUNT))
        assert layer.statistics().committed == 3 * COUNT
        await self.wait_until(lambda: layer.statistics().held_bytes == 0)

    @conformance
    async def test_a_loop_that_died_holds_no_message(self, form: Form) -> None:
        """A delivery for a coroutine whose event loop is closed goes to somebody who lives."""
        layer = self.layer()
        reader = layer.reader(["numbers"])

        def die() -> asyncio.Task[Delivery | None]:
            loop = form.new_loop()
            task = loop.create_task(reader.areceive(None))
            for _ in range(5):
                loop.run_until_complete(asyncio.sleep(0))
            loop.close()
            return task

        thread = asyncio.create_task(asyncio.to_thread(die))
        forgotten = await thread
        forgotten._log_destroy_pending = False  # type: ignore[attr-defined]  # noqa: SLF001  it is left on purpose
        for value in range(3):
            await form(layer, "publish", number(value))
        assert await self.numbers(form, reader, 3) == [0, 1, 2]

    @conformance
    async def test_an_owner_may_call_the_layer_from_its_callback(self, form: Form) -> None:
        """`on_readable` is called holding no lock, from whatever thread."""
        layer = self.layer()
        inboxes: list[Inbox] = []
        seen: list[object] = []

        def on_readable() -> None:
            seen.extend(inboxes[0].drain())
            layer.publish(number(len(seen)))

        inboxes.append(layer.inbox(["s1!"], on_readable))
        reader = layer.reader(["numbers"])
        await form(layer, "publish", Send("s1!c1", b"x"))
        assert await self.numbers(form, reader, 1) == [1]
        assert seen == [Frame("s1!c1", b"x")]

    @conformance
    async def test_a_callback_that_fails_keeps_nobody_asleep(self, form: Form) -> None:
        """Neither the sender nor other receivers suffer from an owner that raises."""
        layer = self.layer()

        def fail() -> None:
            raise RuntimeError("the event loop of this server is closed")

        layer.inbox(["s1!"], fail)
        other = self.owner(layer, "s2!")
        for channel in ("s1!c1", "s2!c1"):
            await form(layer, "group_add", "g", channel)
        await other.wait_item(Add)
        await form(layer, "send_group", "g", {"n": 1})
        assert len(await other.all_items()) == 1

    @conformance
    async def test_closing_wakes_everybody(self, form: Form) -> None:
        """Receivers get None; whoever waits for room or for an answer gets LayerUnavailable."""
        layer = self.layer(("full", ChannelRule(capacity=0)))
        owner = self.owner(layer)
        await form(layer, "group_add", "g", "s1!c1")
        await owner.wait_item(Add)
        reader = layer.reader(["numbers"])
        receiving = [asyncio.create_task(form(reader, "receive", None)) for _ in range(2)]
        failing = [
            asyncio.create_task(raised(LayerUnavailable, form, layer, "publish", number(1, "full"), self.deadline)),
            asyncio.create_task(raised(LayerUnavailable, form, layer, "group_channels", "g")),
            asyncio.create_task(raised(LayerUnavailable, form, layer, "state", "s1!c1")),
        ]
        assert {type(item) for item in await owner.wait_items(2)} == {Ask}
        await self.wait_until(lambda: layer.statistics().held_bytes > 0)
        await asyncio.to_thread(layer.close)
        assert await asyncio.gather(*receiving) == [None, None]
        await asyncio.gather(*failing)
        self.use_after_close(layer, reader, owner.inbox)

    def use_after_close(self, layer: Layer, reader: Reader, inbox: Inbox) -> None:
        """What ends or gives back is quiet on a closed layer."""
        assert reader.receive(0) is None
        assert inbox.drain() == []
        reader.pause()
        reader.close()
        inbox.close()
        layer.close()

    @conformance
    async def test_readers_that_come_and_go(self, form: Form) -> None:
        """Readers that are opened, paused and closed while others send: nothing hangs, nothing is lost."""
        del form
        layer = self.layer()
        done = threading.Event()
        found: list[int] = []

        def serve() -> None:
            while not done.is_set():
                reader = layer.reader(["numbers"], 2)
                stopper = threading.Timer(self.short_life, reader.pause)
                stopper.start()
                while delivery := reader.receive(None):
                    found.append(read(delivery))
                    reader.commit(delivery)
                stopper.join()
                reader.close()

        with ThreadPoolExecutor(3) as pool:
            serving = [pool.submit(serve) for _ in range(3)]
            try:
                for value in range(COUNT * 5):
                    layer.publish(number(value))
                    if value % 10 == 0:
                        await asyncio.sleep(0.001)
                await self.wait_until(lambda: len(found) == COUNT * 5)
            finally:
                done.set()
            for served in serving:
                served.result(self.deadline)
        assert sorted(found) == list(range(COUNT * 5))
        await self.wait_until(lambda: layer.statistics().sessions == 0)
