"""What the themes of the suite share: the forms of a verb, an owner that collects its items, and the layer's flags.

A test is a coroutine that takes a `Form` and asks it for each verb, so that it is written once and runs in every form::

    @conformance
    async def test_what_is_sent_arrives(self, form: Form) -> None:
        layer = self.layer()
        await form(layer, "send", "numbers", {"n": 1})
"""

import asyncio
import functools
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Concatenate, ParamSpec, TypeVar, cast
from unittest import SkipTest

from fairway.broker.effects import Delivery, Envelope, Frame, Item, Send
from fairway.layers.base import Inbox, Layer, Reader
from fairway.layers.codec import decode_message, encode_message
from fairway.limits import BrokerLimits, ChannelRule

FENCE = b"\x80"
"""The body that an owner sends to itself to see that nothing else is on its way."""

P = ParamSpec("P")
T = TypeVar("T")


class Form:
    """One way to call a layer: `await form(layer, "send", ...)` is `layer.send(...)` or `await layer.asend(...)`."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.is_blocking = name == "blocking"

    def __repr__(self) -> str:
        return self.name

    async def __call__(self, target: Layer | Reader, verb: str, *args: Any, **kwargs: Any) -> Any:
        """Call one verb in this form: in a thread of its own, or in this event loop."""
        if self.is_blocking:
            return await asyncio.to_thread(getattr(target, verb), *args, **kwargs)
        return await getattr(target, f"a{verb}")(*args, **kwargs)

    def new_loop(self) -> asyncio.AbstractEventLoop:
        """Make the event loop for a test. The suite skips what cannot be had here."""
        if self.name != "uvloop":
            return asyncio.new_event_loop()
        if sys.platform == "win32":
            raise SkipTest("there is no uvloop for Windows")
        try:
            uvloop = __import__("uvloop")
        except ImportError:
            raise SkipTest("uvloop is not installed: pip install 'fairway[server]'") from None
        loop: asyncio.AbstractEventLoop = uvloop.new_event_loop()
        return loop


class Owner:
    """An inbox, and all items that it has been given so far."""

    def __init__(self, layer: Layer, prefixes: Sequence[str], deadline: float) -> None:
        self._loop = asyncio.get_running_loop()
        self._readable = asyncio.Event()
        self._layer = layer
        self._deadline = deadline
        self.prefix = prefixes[0]
        self.items: list[Item] = []
        self.calls = 0
        self.inbox: Inbox = layer.inbox(prefixes, self._note)

    def _note(self) -> None:
        self.calls += 1
        self._loop.call_soon_threadsafe(self._readable.set)

    async def wait_items(self, count: int) -> list[Item]:
        """Return the next `count` items, in order."""
        async with asyncio.timeout(self._deadline):
            while True:
                self._readable.clear()
                self.items += self.inbox.drain()
                if len(self.items) >= count:
                    break
                await self._readable.wait()
        taken, self.items = self.items[:count], self.items[count:]
        return taken

    async def wait_item(self, kind: type[T]) -> T:
        """Return the next item, which is of this kind."""
        [item] = await self.wait_items(1)
        assert isinstance(item, kind), f"{item!r} is no {kind.__name__}"
        return item

    async def all_items(self) -> list[Item]:
        """Return everything that was on its way: what comes before a message that the owner sends to itself."""
        fence = Frame(f"{self.prefix}fence", FENCE)
        await self._layer.apublish(Send(fence.channel, fence.body), self._deadline)
        found: list[Item] = []
        while (item := (await self.wait_items(1))[0]) != fence:
            found.append(item)
        return found


class ConformanceBase:
    """A maker of layers, and what this kind of layer declares about itself."""

    forms: Sequence[str] = ("blocking", "asyncio", "uvloop")
    """The forms in which every test runs."""

    atomic_across_queues = True
    """A commit's effects on several queues appear in one step (one broker, one shard)."""

    knows_limits = True
    """`make_layer` gives each layer the limits of its own that a test asks for."""

    pushes_items = False
    """Items travel to their owner's process as they come: what it has not read is bounded beyond what is on the way."""

    death_notice = 0.0
    """Seconds after which a reader that died without a word is missed."""

    short_life = 0.002
    """Seconds that a reader lives which comes and goes; it takes that long to fetch a message from afar."""

    answer_timeout = 5.0
    """Seconds after which a question that a server does not answer is given up."""

    deadline = 10.0
    """Seconds after which something that should have happened has not."""

    quiet = 0.03
    """Seconds in which something that must not happen does not."""

    _opened: list[Layer]

    def make_layer(self, limits: BrokerLimits) -> Layer:
        """Return a new, empty layer with these limits."""
        raise NotImplementedError

    def make_rival(self, layer: Layer) -> Layer:
        """Return another way into what `layer` talks to: another client of the same broker, or the layer itself."""
        return layer

    def kill(self, reader: Reader) -> None:
        """Let a reader die with all that it holds."""
        reader.close()

    def pytest_generate_tests(self, metafunc: Any) -> None:
        """Run each test in each form."""
        if "form" in metafunc.fixturenames:
            only_coroutines = getattr(metafunc.function, "only_coroutines", False)
            forms = [name for name in self.forms if not (only_coroutines and name == "blocking")]
            metafunc.parametrize("form", [Form(name) for name in forms], ids=forms)

    # --- helpers of the tests ----------------------------------------------------------------------------------------

    def layer(self, *rules: tuple[str, ChannelRule], **limits: Any) -> Layer:
        """Return a layer that is closed after the test; `rules` go before a rule for all other channels."""
        if (rules or limits) and not self.knows_limits:
            raise SkipTest("this layer has the limits it has")
        if rules:
            limits["rules"] = (*rules, ("*", ChannelRule()))
        layer = self.make_layer(BrokerLimits(**limits))
        self._opened.append(layer)
        return layer

    def owner(self, layer: Layer, *prefixes: str) -> Owner:
        """Return an owner of `prefixes`, which stand for an interface server."""
        return Owner(layer, prefixes or ("s1!",), self.deadline)

    async def receive(self, form: Form, reader: Reader) -> Delivery:
        """Return the next delivery; there is one."""
        delivery: Delivery | None = await form(reader, "receive", self.deadline)
        assert delivery is not None
        return delivery

    def skip_if_items_are_pushed(self) -> None:
        """Skip a test that needs an owner whose items stay with the layer until it reads them."""
        if self.pushes_items:
            raise SkipTest("this layer sends items to their owner's process as they come")

    async def assert_quiet(self, form: Form, reader: Reader) -> None:
        """Nothing is there to be received."""
        assert await form(reader, "receive", self.quiet) is None

    async def numbers(self, form: Form, reader: Reader, count: int) -> list[int]:
        """Receive and commit `count` messages; return the number in each."""
        found = []
        for _ in range(count):
            delivery = await self.receive(form, reader)
            found.append(decode_message(delivery.body)["n"])
            await form(reader, "commit", delivery)
        return found

    async def wait_until(self, condition: Callable[[], object]) -> None:
        """Wait for a condition that nobody announces."""
        end = time.monotonic() + self.deadline
        while not condition():
            assert time.monotonic() < end, "waited in vain"
            await asyncio.sleep(0.002)

    def submit(self, owner: Owner, channel: str, order: int, **fields: Any) -> str:
        """Send a message of connection `c1` of an owner to the workers; return its reply channel."""
        reply_channel = f"{owner.prefix}c1"
        envelope = Envelope(f"{owner.prefix}.{order}", channel, reply_channel, order, **fields)
        owner.inbox.submit(envelope, encode_message({"n": order}))
        return reply_channel


def conformance(
    test: Callable[Concatenate[Any, Form, P], Awaitable[None]],
) -> Callable[Concatenate[Any, Form, P], None]:
    """Make a coroutine method a test: it runs in the form's event loop, and its layers are closed afterwards."""

    @functools.wraps(test)
    def run(self: ConformanceBase, form: Form, *args: P.args, **kwargs: P.kwargs) -> None:
        async def main() -> None:
            try:
                async with asyncio.timeout(3 * self.deadline):
                    await test(self, form, *args, **kwargs)
            finally:
                for layer in self._opened:
                    layer.close()

        self._opened = []
        with asyncio.Runner(loop_factory=form.new_loop) as runner:
            runner.run(main())

    return cast("Callable[Concatenate[Any, Form, P], None]", run)


def cancellation(
    test: Callable[Concatenate[Any, Form, P], Awaitable[None]],
) -> Callable[Concatenate[Any, Form, P], None]:
    """Make a coroutine method a test that blocking verbs have no part in: nobody can cancel a thread."""
    run = conformance(test)
    run.only_coroutines = True  # type: ignore[attr-defined]
    return run


def number(value: int, channel: str = "numbers") -> Send:
    """Return an effect that sends a number."""
    return Send(channel, encode_message({"n": value}))


def read(delivery: Delivery) -> int:
    """Return the number in a delivery."""
    found: int = decode_message(delivery.body)["n"]
    return found
