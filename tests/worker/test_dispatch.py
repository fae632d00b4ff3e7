"""One delivery through an application: whatever that does, the delivery is committed and the dispatcher returns."""

import asyncio
import contextvars
import gc
import logging
import time
import weakref

import pytest

from fairway.broker.effects import Send
from fairway.channel import Channel
from fairway.errors import ConsumeLater
from fairway.layers.codec import decode_message, encode_message
from fairway.layers.memory import MemoryLayer
from fairway.limits import DEFAULT_RULES, BrokerLimits, ChannelRule
from fairway.worker import dispatch
from fairway.worker.dispatch import Dispatcher, describe
from fairway.worker.outbox import current_outbox

REPLY = "websocket.send.T1!c1"


class Script:
    """An application without Django: each call runs one function."""

    channels = ("in",)

    def __init__(self, function, *, is_coroutine=False):
        self.function = function
        self.is_coroutine = is_coroutine

    def prepare(self, delivery):
        return self

    def run(self, outbox):
        self.function()

    async def arun(self, outbox):
        await self.function()

    def leave_thread(self):
        """Nothing is held."""


class Bench:
    def __init__(self, application):
        self.layer = MemoryLayer()
        self.reader = self.layer.reader(["in"])
        self.dispatcher = Dispatcher(self.layer, self.reader, application)
        self.layer.publish(Send("in", encode_message({"path": "/x\n"}), reply_channel=REPLY))
        self.delivery = self.reader.receive(1)

    def dispatch(self):
        start = self.dispatcher.dispatch(self.delivery)
        if start:
            asyncio.run(start())

    @property
    def committed(self):
        return self.layer.statistics().committed

    def waiting(self, channel):
        statistics = self.layer.statistics().channels.get(channel)
        return statistics.waiting if statistics else 0


def bench_for(function, kind):
    if kind == "blocking":
        return Bench(Script(function))

    async def afunction():
        function()

    return Bench(Script(afunction, is_coroutine=True))


KINDS = pytest.mark.parametrize("kind", ["blocking", "coroutine"])


@KINDS
def test_what_is_sent_leaves_with_the_commit(kind):
    def consumer():
        Channel("work", channel_layer=bench.layer).send({})
        assert bench.waiting("work") == 0

    bench = bench_for(consumer, kind)
    bench.dispatch()

    assert bench.committed == 1
    assert bench.waiting("work") == 1
    assert current_outbox.get() is None


@KINDS
@pytest.mark.parametrize("error", [ValueError("boom"), SystemExit(1), KeyboardInterrupt(), asyncio.CancelledError()])
def test_nothing_that_is_raised_gets_out(kind, error, caplog):
    def consumer():
        Channel("work", channel_layer=bench.layer).send({})
        raise error

    bench = bench_for(consumer, kind)
    bench.dispatch()

    assert bench.committed == 1
    assert bench.waiting("work") == 1
    (record,) = caplog.records
    assert record.levelno == logging.ERROR
    assert record.exc_info[1] is error
    delivery = bench.delivery.envelope
    assert record.getMessage() == (
        rf"consumer failed: channel in, path '/x\n', reply channel {REPLY}, message {delivery.id}, attempt 1"
    )


@KINDS
def test_consume_later_is_no_failure(kind, caplog):
    def consumer():
        raise ConsumeLater

    bench = bench_for(consumer, kind)
    bench.dispatch()

    again = bench.reader.receive(5)
    assert again.envelope.retries == 1
    assert caplog.records == []


@KINDS
def test_a_delivery_that_was_lost_is_a_warning(kind, caplog):
    def consumer():
        Channel("work", channel_layer=bench.layer).send({})
        bench.reader.close()

    bench = bench_for(consumer, kind)
    bench.dispatch()

    assert bench.waiting("work") == 0
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert record.getMessage().startswith("not committed, another worker has it now: channel in")


@KINDS
def test_a_layer_that_is_gone_is_an_error_in_the_log(kind, caplog):
    bench = bench_for(lambda: bench.layer.close(), kind)  # noqa: PLW0108  there is no bench yet
    bench.dispatch()

    (record,) = caplog.records
    assert record.levelno == logging.ERROR
    assert record.getMessage().startswith("the commit failed: channel in")


@KINDS
def test_other_layers_get_theirs_before_the_commit(kind, caplog):
    other, gone = MemoryLayer(), MemoryLayer()
    gone.close()

    def consumer():
        Channel("lost", channel_layer=gone).send({})
        Channel("work", channel_layer=other).send({"n": 1})

    bench = bench_for(consumer, kind)
    bench.dispatch()

    assert bench.committed == 1
    assert decode_message(other.reader(["work"]).receive(1).body) == {"n": 1}
    assert [record.getMessage()[:40] for record in caplog.records] == ["a message for another layer was lost: ch"]


def test_other_layers_are_waited_for_once(monkeypatch, caplog):
    monkeypatch.setattr(dispatch, "ELSEWHERE_WAIT", 0.2)
    rules = (("work", ChannelRule(capacity=1)), *DEFAULT_RULES)
    other = MemoryLayer(BrokerLimits(rules=rules))
    other.send("work", {})

    def consumer():
        for _ in range(20):
            Channel("work", channel_layer=other).send({})

    bench = bench_for(consumer, "blocking")
    begin = time.monotonic()
    bench.dispatch()

    assert time.monotonic() - begin < 1
    assert len(caplog.records) == 20
    assert bench.committed == 1


def test_an_application_that_cannot_prepare_has_failed(caplog):
    class Broken(Script):
        def prepare(self, delivery):
            raise LookupError

    bench = Bench(Broken(None))
    bench.dispatch()

    assert bench.committed == 1
    assert len(caplog.records) == 1


def test_the_thread_keeps_its_context_as_under_wsgi():
    """Django's caches live in the context: a new one for each delivery would connect to them anew."""
    variable = contextvars.ContextVar("variable", default="unset")

    def consumer():
        seen.append(variable.get())
        variable.set("set")

    seen = []

    def twice():
        for _ in range(2):
            bench_for(consumer, "blocking").dispatch()
            assert current_outbox.get() is None

    contextvars.Context().run(twice)
    assert seen == ["unset", "set"]


async def test_a_coroutine_cancelled_by_the_stop_is_not_committed(caplog):
    async def consumer():
        await asyncio.Event().wait()

    bench = Bench(Script(consumer, is_coroutine=True))
    task = asyncio.ensure_future(bench.dispatcher.dispatch(bench.delivery)())
    await asyncio.sleep(0)
    task.cancel()
    await task

    assert bench.committed == 0
    assert [record.getMessage()[:9] for record in caplog.records] == ["cancelled"]


def test_a_body_that_is_no_message_can_be_described():
    bench = Bench(Script(lambda: None))
    bench.delivery.body = b"\xc1"

    assert describe(bench.delivery).startswith(f"channel in, reply channel {REPLY}, message ")


@KINDS
def test_an_exception_is_let_go_at_once(kind):
    class Noted(ConsumeLater):
        def __init__(self):
            errors.append(weakref.ref(self))

    def consumer():
        raise Noted

    errors = []
    bench = bench_for(consumer, kind)
    gc.disable()
    try:
        bench.dispatch()
        assert errors[0]() is None
    finally:
        gc.enable()
