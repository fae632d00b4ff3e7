"""Sending: names, messages, order, isolation, capacity, waiting for room, expiry and repeats."""

import asyncio
import functools
import math
import time
from typing import Any

from fairway.broker.effects import Send
from fairway.errors import ChannelFull, InvalidMessage, InvalidName, LayerUnavailable, MessageTooLarge
from fairway.layers.base import Layer
from fairway.layers.codec import decode_message, encode_message
from fairway.limits import ChannelRule
from fairway.testing.layer_conformance.base import ConformanceBase, Form, conformance, number

ONE = ("numbers", ChannelRule(capacity=1))


async def raised(kind: type[Exception], form: Form, layer: Layer, verb: str, *args: Any) -> Exception:
    """Call a verb that must raise, and return what it raised."""
    try:
        await form(layer, verb, *args)
    except kind as error:
        return error
    raise AssertionError(f"{verb}{args!r:.200} raised no {kind.__name__}")


class SendingConformance(ConformanceBase):
    """`send`, `publish` and what they promise."""

    @conformance
    async def test_channel_names(self, form: Form) -> None:
        """A wrong channel name is a TypeError at the sender."""
        layer = self.layer()
        for name in (None, 7, b"a", "", "a b", "a" * 100, "a?", "a?b?c", "a!b!c", "é", "a\n", "!x", "a+b"):
            error = await raised(InvalidName, form, layer, "send", name, {})
            assert isinstance(error, TypeError)
        for name in ("http.response!ab0def", "0.a_b-c?d_e-f.1", "name!", "a" * 99):
            await form(layer, "send", name, {"n": 1})

    @conformance
    async def test_group_names(self, form: Form) -> None:
        """A group name is any text of 1 to 200 characters."""
        layer = self.layer()
        for name in (None, 7, b"g", "", "g" * 201):
            await raised(InvalidName, form, layer, "send_group", name, {})
            await raised(InvalidName, form, layer, "group_add", name, "a")
            await raised(InvalidName, form, layer, "group_channels", name)
        for name in ("room 1", "é!?*", "g" * 200, "a:b/c{d}"):
            await form(layer, "group_add", name, "numbers")
            assert await form(layer, "group_channels", name) == ["numbers"]

    @conformance
    async def test_wrong_messages(self, form: Form) -> None:
        """A message that cannot travel is an error that names the key, and nothing is sent."""
        layer = self.layer()
        loop: list[Any] = []
        loop.append(loop)
        wrong: list[tuple[Any, str]] = [
            (None, ""),
            ([], ""),
            ({1: 2}, ""),
            ({"a": {"b": object()}}, "a.b"),
            ({"a": [1, {2}]}, "a[1]"),
            ({"a": 2**63}, "a"),
            ({"a": loop}, "a"),
            ({"a": "\ud800"}, ""),
        ]
        for message, key in wrong:
            error = await raised(InvalidMessage, form, layer, "send", "numbers", message)
            assert isinstance(error, InvalidMessage)
            assert error.key.startswith(key)
        await raised(MessageTooLarge, form, layer, "send", "numbers", {"a": bytes(8 * 1024 * 1024)})
        await self.assert_quiet(form, layer.reader(["numbers"]))

    @conformance
    async def test_values_arrive_as_they_were(self, form: Form) -> None:
        """Every kind of value survives, bytes and str apart; a tuple may come back as a list."""
        layer = self.layer()
        reader = layer.reader(["values"])
        message: dict[str, Any] = {
            "none": None,
            "flags": [True, False],
            "ints": [0, -(2**63), 2**63 - 1],
            "floats": [1.5, -0.0, math.inf],
            "text": "\x00é\U0001f600",
            "bytes": b"\x00\xff\xfe",
            "nested": {"": [{"deep": {"er": [[]]}}]},
        }
        await form(layer, "send", "values", {**message, "tuple": (1, 2)})
        found = decode_message((await self.receive(form, reader)).body)
        assert found.pop("tuple") == [1, 2]
        assert found == message
        assert repr(found) == repr(message)

    @conformance
    async def test_sender_and_receivers_are_isolated(self, form: Form) -> None:
        """Changing a message after it was sent, or received, changes it for nobody else."""
        layer = self.layer()
        readers = [layer.reader(["a"]), layer.reader(["b"])]
        for channel in ("a", "b"):
            await form(layer, "group_add", "g", channel)
        sent: dict[str, Any] = {"list": [1], "dict": {"k": 1}}
        await form(layer, "send_group", "g", sent)
        sent["list"].append(2)
        sent["dict"]["k"] = 2
        for reader in readers:
            found = decode_message((await self.receive(form, reader)).body)
            assert found == {"list": [1], "dict": {"k": 1}}
            found["list"].append(3)

    @conformance
    async def test_a_channel_is_a_queue(self, form: Form) -> None:
        """First in, first out, also when a reader waits already."""
        layer = self.layer()
        reader = layer.reader(["numbers"])
        for value in range(10):
            await form(layer, "send", "numbers", {"n": value})
        assert await self.numbers(form, reader, 10) == list(range(10))
        first = asyncio.create_task(self.numbers(form, reader, 3))
        for value in range(3):
            await form(layer, "send", "numbers", {"n": value})
        assert await first == [0, 1, 2]

    @conformance
    async def test_each_message_has_an_id_and_its_first_attempt(self, form: Form) -> None:
        """The envelope says what a message is called and how often it was delivered."""
        layer = self.layer()
        reader = layer.reader(["numbers"])
        ids = set()
        for _ in range(3):
            await form(layer, "publish", Send("numbers", encode_message({}), "s1!c1", {"k": b"\x01"}))
            envelope = (await self.receive(form, reader)).envelope
            assert (envelope.channel, envelope.reply_channel, envelope.attempt) == ("numbers", "s1!c1", 1)
            assert envelope.state == {"k": b"\x01"}
            ids.add(envelope.id)
        assert len(ids) == 3

    @conformance
    async def test_a_full_channel_refuses(self, form: Form) -> None:
        """Exactly `capacity` messages wait; one more raises ChannelFull and is not there later."""
        layer = self.layer(("numbers", ChannelRule(capacity=3)))
        for value in range(3):
            await form(layer, "send", "numbers", {"n": value})
        error = await raised(ChannelFull, form, layer, "send", "numbers", {"n": 9})
        assert isinstance(error, ChannelFull)
        assert error.channel == "numbers"
        await form(layer, "send", "others", {"n": 1})
        reader = layer.reader(["numbers"])
        assert await self.numbers(form, reader, 3) == [0, 1, 2]
        await form(layer, "send", "numbers", {"n": 4})
        assert await self.numbers(form, reader, 1) == [4]

    @conformance
    async def test_a_sender_waits_for_room(self, form: Form) -> None:
        """With a timeout a send waits, and goes in when a reader has taken one; those who wait keep their order."""
        layer = self.layer(ONE)
        await form(layer, "send", "numbers", {"n": 0})
        waiting = []
        for value in (1, 2):
            waiting.append(asyncio.create_task(form(layer, "send", "numbers", {"n": value}, self.deadline)))
            await self.wait_until(functools.partial(self.wait_for_room, layer, "numbers", value))
        assert not any(task.done() for task in waiting)
        reader = layer.reader(["numbers"])
        assert await self.numbers(form, reader, 3) == [0, 1, 2]
        await asyncio.gather(*waiting)

    def wait_for_room(self, layer: Layer, channel: str, count: int) -> bool:
        """Whether so many messages wait for room at a channel, beside those that have it."""
        found = layer.statistics().channels.get(channel)
        return found is not None and found.waiting_bytes == (found.waiting + count) * len(number(1).body)

    @conformance
    async def test_waiting_for_room_ends_at_the_deadline(self, form: Form) -> None:
        """A send that found no room in its time raises ChannelFull and has sent nothing."""
        layer = self.layer(ONE)
        await form(layer, "send", "numbers", {"n": 0})
        start = time.monotonic()
        await raised(ChannelFull, form, layer, "send", "numbers", {"n": 1}, 0.05)
        assert 0.04 < time.monotonic() - start < self.deadline / 2
        reader = layer.reader(["numbers"])
        assert await self.numbers(form, reader, 1) == [0]
        await self.assert_quiet(form, reader)

    @conformance
    async def test_memory_is_bounded_and_comes_free(self, form: Form) -> None:
        """When all bodies together reach the bound nobody gets in; who waits gets in once a message is consumed."""
        layer = self.layer(total=1000)
        reader = layer.reader(["big"])
        await form(layer, "publish", Send("big", bytes(1000)))
        await raised(ChannelFull, form, layer, "publish", number(1))
        await raised(ChannelFull, form, layer, "publish", number(1), 0.01)
        waiting = asyncio.create_task(form(layer, "publish", number(2), self.deadline))
        numbers = layer.reader(["numbers"])
        receiving = asyncio.create_task(self.numbers(form, numbers, 1))
        delivery = await self.receive(form, reader)
        await self.wait_until(lambda: layer.statistics().held_bytes > 1000)
        assert not receiving.done()
        await form(reader, "commit", delivery)
        await waiting
        assert await receiving == [2]
        await self.wait_until(lambda: layer.statistics().held_bytes == 0)

    @conformance
    async def test_a_message_expires_until_it_is_begun(self, form: Form) -> None:
        """Where a rule says so, a message that nobody has taken in time is gone; one that was taken stays."""
        layer = self.layer(("numbers", ChannelRule(expiry=0.15)))
        reader = layer.reader(["numbers"])
        await form(layer, "send", "numbers", {"n": 1})
        delivery = await self.receive(form, reader)
        await form(layer, "send", "numbers", {"n": 2})
        await self.wait_until(lambda: layer.statistics().expired == 1)
        self.kill(reader)
        assert await self.numbers(form, layer.reader(["numbers"]), 1) == [1]
        assert delivery.envelope.attempt == 1

    @conformance
    async def test_a_repeat_is_dropped_by_its_id(self, form: Form) -> None:
        """A message that names itself is taken once; one that was refused may be sent again."""
        layer = self.layer(ONE)
        reader = layer.reader(["numbers"])
        body = encode_message({"n": 1})
        for _ in range(3):
            await form(layer, "publish", Send("numbers", body, id="x.1"))
        await raised(ChannelFull, form, layer, "publish", Send("numbers", body, id="x.2"))
        await raised(ChannelFull, form, layer, "publish", Send("numbers", body, id="x.2"), 0.01)
        assert await self.numbers(form, reader, 1) == [1]
        await form(layer, "publish", Send("numbers", body, id="x.2"))
        assert await self.numbers(form, reader, 1) == [1]
        await self.assert_quiet(form, reader)
        assert layer.statistics().repeats_dropped == 2

    @conformance
    async def test_flush_empties_the_layer(self, form: Form) -> None:
        """Messages and groups are gone, what is being consumed is lost, sessions go on."""
        layer = self.layer(ONE)
        reader = layer.reader(["numbers", "others"])
        await form(layer, "send", "others", {"n": 1})
        held = await self.receive(form, reader)
        await form(layer, "send", "numbers", {"n": 1})
        waiting = asyncio.create_task(form(layer, "send", "numbers", {"n": 2}, self.deadline))
        await self.wait_until(lambda: self.wait_for_room(layer, "numbers", 1))
        await form(layer, "group_add", "g", "numbers")
        layer.flush()
        await waiting
        assert await form(layer, "group_channels", "g") == []
        await self.wait_until(lambda: layer.statistics().held_bytes == 0)
        await form(layer, "send", "numbers", {"n": 3})
        assert await self.numbers(form, reader, 1) == [3]
        assert held.envelope.channel == "others"

    @conformance
    async def test_a_closed_layer_says_so(self, form: Form) -> None:
        """Every verb of a closed layer raises LayerUnavailable; closing twice is fine."""
        layer = self.layer()
        layer.close()
        layer.close()
        await raised(LayerUnavailable, form, layer, "send", "numbers", {})
        await raised(LayerUnavailable, form, layer, "send_group", "g", {})
        await raised(LayerUnavailable, form, layer, "group_add", "g", "numbers")
        await raised(LayerUnavailable, form, layer, "group_channels", "g")
        await raised(LayerUnavailable, form, layer, "state", "s1!c1")
