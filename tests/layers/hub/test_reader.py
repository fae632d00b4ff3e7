"""Sessions of worker processes that die, stop, or lose their line: fencing, order, and nothing lost."""

import asyncio
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from fairway.broker.effects import Abandoned, Envelope, Policy, Send
from fairway.errors import DeliveryLost, LayerUnavailable
from fairway.layers import LocalLayer
from fairway.wire.hub import Answer, Items, Own, Submit
from tests.support.hubs import HubThread, RawLine
from tests.support.processes import running_python
from tests.support.waiting import await_until, wait_until

WORKER = """
import sys, logging
from fairway.layers.hub import turns
turns.PING_EVERY = 0.1
from fairway.broker.effects import Send
from fairway.errors import DeliveryLost
from fairway.layers import LocalLayer
layer = LocalLayer(sys.argv[1])
reader = layer.reader(["c"], window=2, threads=2)
delivery = reader.receive()
print("got", delivery.envelope.attempt, flush=True)
sys.stdin.readline() if len(sys.argv) < 3 else __import__("time").sleep(float(sys.argv[2]))
try:
    reader.commit(delivery, [Send("effects", b"late")])
    layer.statistics()
    print("committed", flush=True)
except DeliveryLost as error:
    print("DeliveryLost", flush=True)
delivery = reader.receive(10)
print("again", delivery and delivery.envelope.attempt, flush=True)
"""


@pytest.fixture(autouse=True)
def _quick_pings(monkeypatch: pytest.MonkeyPatch) -> None:
    """The hubs here take the silent for dead after half a second."""
    monkeypatch.setattr("fairway.layers.hub.turns.PING_EVERY", 0.1)


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[HubThread]:
    with HubThread(tmp_path / "hub.sock", silence=0.5) as hub:
        yield hub


@pytest.fixture
def layer(hub: HubThread) -> Iterator[LocalLayer]:
    layer = LocalLayer(hub.path)
    yield layer
    layer.close()


def cut_all(hub: HubThread) -> None:
    hub.loop.call_soon_threadsafe(lambda: [peer.cut("a test") for peer in tuple(hub.hub.peers)])


def test_a_worker_that_is_killed(hub: HubThread, layer: LocalLayer) -> None:
    """What it held, begun or not, goes to another in its order, with the next attempt."""
    with running_python("-c", WORKER, hub.path, "60") as worker:
        layer.publish(Send("c", b"1"))
        layer.publish(Send("c", b"2"))
        worker.wait_for_output("got 1")
        wait_until(lambda: layer.statistics().channels["c"].leased == 2)
        worker.process.send_signal(signal.SIGKILL)
        reader = layer.reader(["c"])
        found = [reader.receive(5) for _ in range(2)]
    assert [(each.body, each.envelope.attempt) for each in found if each] == [(b"1", 2), (b"2", 2)]
    for each in found:
        assert each
        reader.commit(each)
    wait_until(lambda: layer.statistics().committed == 2)


def test_a_worker_that_was_stopped_and_goes_on(hub: HubThread, layer: LocalLayer) -> None:
    """Its late commit publishes nothing and says so; it then works on over a new line."""
    with running_python("-c", WORKER, hub.path, "0.3") as worker:
        wait_until(lambda: layer.statistics().sessions)
        layer.publish(Send("c", b"1"))
        worker.wait_for_output("got 1")
        worker.process.send_signal(signal.SIGSTOP)
        reader = layer.reader(["c"])
        delivery = reader.receive(10)
        assert delivery
        assert delivery.envelope.attempt == 2
        reader.commit(delivery, [Send("effects", b"once")])
        worker.process.send_signal(signal.SIGCONT)
        worker.wait_for_output("DeliveryLost")
        reader.close()
        layer.publish(Send("c", b"2"))
        worker.wait_for_output("again 1")
    effects = layer.reader(["effects"])
    first = effects.receive(5)
    assert first
    assert first.body == b"once"
    assert effects.receive(0.05) is None


def test_a_message_that_may_not_run_twice(hub: HubThread, layer: LocalLayer) -> None:
    """Its connection is told that it was lost."""
    with RawLine(hub.path) as server, running_python("-c", WORKER, hub.path, "60") as worker:
        server.say(Own(1, ["s!"]))
        server.wait_for(Answer)
        server.say(Submit(Envelope("m", "c", "s!1", 7, policy=Policy.ONCE), b"x"))
        worker.wait_for_output("got 1")
        worker.process.send_signal(signal.SIGKILL)
        assert server.wait_for(Items).items == [Abandoned("s!1", 7, "lost", 1)]


def test_receipts_of_an_old_line_commit_nothing_on_a_new_one(hub: HubThread) -> None:
    """A hub that starts again counts from the beginning: the numbers are the same, the messages are not."""
    layer = LocalLayer(hub.path, wait=5)
    reader = layer.reader(["c"], window=1, threads=1)
    layer.publish(Send("c", b"old"))
    old = reader.receive(5)
    assert old
    hub.stop()
    hub.start()
    layer.publish(Send("c", b"new"))
    new = reader.receive(5)
    assert new
    assert new.body == b"new"
    with pytest.raises(DeliveryLost, match="is no longer held"):
        reader.commit(old, [Send("effects", b"x")])
    with pytest.raises(DeliveryLost):
        reader.publish(old, Send("", b"x"))
    reader.commit(new, [Send("effects", b"y")])
    statistics = layer.statistics()
    assert (statistics.committed, statistics.channels["effects"].waiting) == (1, 1)
    layer.close()


def test_a_cut_line_is_made_again_while_threads_wait(hub: HubThread, layer: LocalLayer) -> None:
    found: list[bytes] = []
    for threads in (None, 3):
        reader = layer.reader(["c"], window=3, threads=threads)

        def consume(reader: object = reader) -> None:
            while (delivery := reader.receive()) is not None:  # type: ignore[attr-defined]
                try:
                    reader.commit(delivery)  # type: ignore[attr-defined]
                except DeliveryLost:
                    continue
                found.append(delivery.body)

        workers = [threading.Thread(target=consume) for _ in range(3)]
        for worker in workers:
            worker.start()
        sender = LocalLayer(hub.path, wait=10)
        for number in range(30):
            cut_all(hub)
            try:
                sender.publish(Send("c", str(number).encode()), 1)
            except LayerUnavailable:  # cut before it was answered: it may have happened
                sender.publish(Send("c", str(number).encode(), id=f"again-{threads}-{number}"), 1)
        wait_until(lambda: len({int(body) for body in found}) == 30)
        reader.pause()
        for worker in workers:
            worker.join(10)
            assert not worker.is_alive()
        reader.close()
        sender.close()
        found.clear()


async def test_a_cancelled_commit_was_written_all_the_same(hub: HubThread, layer: LocalLayer) -> None:
    """While another thread writes, a coroutine's frames wait their turn: cancelling it must not lose them."""
    reader = layer.reader(["c"])
    await layer.apublish(Send("c", b"x"))
    delivery = await reader.areceive(5)
    assert delivery
    layer.line._writing.acquire()
    committing = asyncio.create_task(reader.acommit(delivery))
    await asyncio.sleep(0)
    committing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await committing
    layer.line._writing.release()
    await await_until(lambda: hub.layer.statistics().committed == 1)


def test_a_delivery_that_another_thread_snatches_is_asked_for_again(hub: HubThread, layer: LocalLayer) -> None:
    """An exact session asks for one delivery for each who waits, whoever takes it."""
    reader = layer.reader(["c"])
    found: list[bytes] = []

    def consume() -> None:
        while (delivery := reader.receive(5)) is not None:
            found.append(delivery.body)
            reader.commit(delivery)

    workers = [threading.Thread(target=consume) for _ in range(4)]
    for worker in workers:
        worker.start()
    for number in range(300):
        layer.publish(Send("c", str(number).encode()))
    wait_until(lambda: len(found) == 300)
    reader.pause()
    for worker in workers:
        worker.join(30)
        assert not worker.is_alive()
    assert len(set(found)) == 300


def test_an_event_loop_that_is_closed_while_it_waits(hub: HubThread, layer: LocalLayer) -> None:
    reader = layer.reader(["c"])
    loop = asyncio.new_event_loop()
    task = loop.create_task(reader.areceive())
    loop.run_until_complete(asyncio.sleep(0.02))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        loop.run_until_complete(task)
    loop.close()
    layer.publish(Send("c", b"x"))
    delivery = reader.receive(5)
    assert delivery
    assert delivery.envelope.attempt == 1


def test_closing_the_layer_lets_everybody_go(hub: HubThread, layer: LocalLayer) -> None:
    reader = layer.reader(["c"])
    results: list[object] = []

    def publish() -> None:
        try:
            layer.publish(Send("none!1", b"x"), 5)
            layer.state("s!1")
        except LayerUnavailable as error:
            results.append(error)

    with RawLine(hub.path) as owner:
        owner.say(Own(1, ["s!"]))
        owner.wait_for(Answer)
        threads = [threading.Thread(target=lambda: results.append(reader.receive())) for _ in range(3)]
        threads += [threading.Thread(target=publish) for _ in range(3)]
        for thread in threads:
            thread.start()
        wait_until(lambda: len(layer.turns.callers) == 3)
        layer.close()
        for thread in threads:
            thread.join(30)
            assert not thread.is_alive()
    assert results.count(None) == 3
    assert all(str(error) == "the layer is closed" for error in results if error)


def test_it_tells_how_often_its_session_was_opened_anew(hub: HubThread, layer: LocalLayer) -> None:
    reader = layer.reader(["c"], 1, 1)
    assert reader.renewals == 0
    cut_all(hub)
    wait_until(lambda: reader.receive(0.05) is None and reader.renewals == 1)
