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
from fairway.worker.retries import Retry

REPLY = "websocket.send.T1!c1"


class Script:
    """An application without Django: each call runs one function."""

    channels = ("in",)
    companions = ()

    def __init__(self, function, *, is_coroutine=False, retry=None):
        self.function = function
        self.is_coroutine = is_coroutine
        self.retry = retry

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


def bench_for(function, kind, retry=None):
    if kind == "blocking":
        return Bench(Script(function, retry=retry))

    async def afunction():
        function()

    return Bench(Script(afunction, is_coroutine=True, retry=retry))


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


class TestRetry:
    def fails(self):
        Channel("work", channel_layer=self.bench.layer).send({})
        Channel("work", channel_layer=self.other).send({})
        raise ValueError("boom")

    def run(self, kind, retry):
        """Run a consumer that always fails, until there is nothing to run."""
        self.other = MemoryLayer()
        self.bench = bench = bench_for(self.fails, kind, retry)
        runs = 0
        while bench.delivery:
            runs += 1
            bench.dispatch()
            may_come = runs <= retry.times and retry.covers(ValueError())
            bench.delivery = bench.reader.receive(5) if may_come else None
        return runs

    @KINDS
    def test_a_message_is_tried_again_and_then_a_dead_letter_that_says_why(self, kind, caplog):
        assert self.run(kind, Retry(2, pause=0.01)) == 3
        (letter,) = self.bench.layer.dead_letters()
        assert (letter.reason, letter.retries) == ("failed 3 times: ValueError: boom", 3)
        assert [(record.levelname, record.getMessage().partition(":")[0]) for record in ours(caplog)] == [
            ("WARNING", "consumer failed, retry 1 of 2 follows in 0.01 s"),
            ("WARNING", "consumer failed, retry 2 of 2 follows in 0.02 s"),
            ("ERROR", "consumer failed after 2 retries, a dead letter now"),
        ]
        assert {str(record.exc_info[1]) for record in ours(caplog)} == {"boom"}

    @KINDS
    def test_nothing_that_a_failed_run_sent_is_published_on_any_layer(self, kind):
        self.run(kind, Retry(1, pause=0))

        assert self.bench.waiting("work") == 0
        assert "work" not in self.other.statistics().channels

    @KINDS
    def test_another_exception_ends_it_as_without_retry(self, kind, caplog):
        assert self.run(kind, Retry(3, on=OSError)) == 1
        assert self.bench.waiting("work") == 1
        assert self.other.statistics().channels["work"].waiting == 1
        assert [record.getMessage()[:18] for record in caplog.records] == ["consumer failed: c"]

    @KINDS
    def test_the_run_that_succeeds_publishes_once(self, kind):
        def consumer():
            Channel("work", channel_layer=bench.layer).send({})
            if not bench.delivery.envelope.retries:
                raise ValueError

        bench = bench_for(consumer, kind, Retry(3, pause=0))
        bench.dispatch()
        bench.delivery = bench.reader.receive(5)
        bench.dispatch()

        assert bench.delivery.envelope.retries == 1
        assert bench.waiting("work") == 1
        assert bench.layer.dead_letters() == []

    def test_an_application_that_cannot_prepare_is_not_tried_again(self):
        class Broken(Script):
            def prepare(self, delivery):
                raise LookupError

        bench = Bench(Broken(None, retry=Retry()))
        bench.dispatch()

        assert bench.reader.receive(0) is None
        assert bench.layer.dead_letters() == []


def ours(caplog):
    """What the worker wrote, without the layer's lines about dead letters."""
    return [record for record in caplog.records if record.name == "fairway.worker"]


class TestHandedOver:
    """A consumer that lets somebody else commit its message."""

    @pytest.mark.parametrize("raises", [False, True])
    def test_the_delivery_is_not_committed(self, raises, caplog):
        outboxes = []

        def consumer():
            outboxes.append(current_outbox.get())
            outboxes[0].hand_over()
            if raises:
                raise ValueError("boom")

        bench = Bench(Script(consumer))
        bench.dispatch()
        assert bench.committed == 0
        assert ("ValueError: boom" in caplog.text) is raises
        bench.reader.commit(bench.delivery, outboxes[0].effects)
        assert bench.committed == 1
