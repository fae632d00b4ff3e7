"""Leader and followers: many threads over one line, and nobody waits for nothing."""

import faulthandler
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from fairway.broker.effects import Send
from fairway.layers import LocalLayer
from fairway.layers.hub import turns as turns_module
from fairway.layers.hub.turns import Sleeper
from tests.support.hubs import HubThread
from tests.support.waiting import wait_until

THREADS = 16
STUCK = 5.0
"""No call over a socket of this host takes so long, unless a wake-up was lost."""


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[HubThread]:
    with HubThread(tmp_path / "hub.sock") as hub:
        yield hub


def test_a_sleeper_is_woken_once() -> None:
    sleeper = Sleeper()
    assert sleeper.wake()
    assert not sleeper.wake()
    sleeper.sleep(None)
    sleeper.rearm()
    sleeper.sleep(0)
    assert sleeper.wake()


@pytest.mark.parametrize("threads", [None, 4], ids=["exact", "window"])
def test_sixteen_threads_over_one_line(hub: HubThread, soak: int, threads: int | None) -> None:
    """Publishing, asking, joining and consuming at once: every call ends soon, and every message is consumed once."""
    layer = LocalLayer(hub.path)
    reader = layer.reader(["c"], window=8, threads=threads)
    found: list[bytes] = []
    rounds = 100 * soak

    def consume() -> None:
        while (delivery := reader.receive()) is not None:
            found.append(delivery.body)
            reader.commit(delivery)

    def speak(number: int) -> None:
        for turn in range(rounds):
            layer.publish(Send("c", f"{number}.{turn}".encode()))
            if turn % 5 == number % 5:
                layer.group_add(f"g{number}", "c")
                layer.statistics()

    faulthandler.dump_traceback_later(40 * soak, exit=False)
    consumers = [threading.Thread(target=consume) for _ in range(4)]
    speakers = [threading.Thread(target=speak, args=(number,)) for number in range(THREADS - 4)]
    for thread in consumers + speakers:
        thread.start()
    for thread in speakers:
        thread.join(30 * soak)
        assert not thread.is_alive(), "a call got stuck"
    wait_until(lambda: len(found) == rounds * len(speakers))
    reader.pause()
    for thread in consumers:
        thread.join(STUCK)
        assert not thread.is_alive()
    faulthandler.cancel_dump_traceback_later()
    layer.close()
    assert len(set(found)) == rounds * len(speakers)


def test_a_caller_that_waits_behind_the_watcher_is_served(hub: HubThread) -> None:
    """The watcher read for a coroutine; a thread that followed it must not sleep on when it stops."""
    layer = LocalLayer(hub.path)
    for _ in range(30):
        waiting = threading.Event()
        layer.turns.watch()
        with layer.turns.mutex:
            layer.turns.is_attended = True
        caller = threading.Thread(target=lambda waiting=waiting: (layer.statistics(), waiting.set()))
        caller.start()
        wait_until(lambda waiting=waiting: layer.turns.followers or waiting.is_set())
        with layer.turns.mutex:
            layer.turns.is_attended = False
        layer.turns.watch()
        assert waiting.wait(STUCK)
        caller.join()
    layer.close()


def test_what_a_busy_process_has_not_begun_goes_to_another(hub: HubThread) -> None:
    busy, idle = LocalLayer(hub.path), LocalLayer(hub.path)
    reader = busy.reader(["c"], window=4, threads=1)
    for number in range(4):
        busy.publish(Send("c", bytes([number])))
    first = reader.receive(STUCK)
    other = idle.reader(["c"], window=4, threads=4)
    found = [other.receive(STUCK) for _ in range(3)]
    assert [each.body for each in found if each] == [b"\1", b"\2", b"\3"]
    assert {each.envelope.attempt for each in found if each} == {1}
    assert first
    reader.commit(first)
    busy.close()
    idle.close()


def test_a_process_whose_threads_are_all_busy_pings(hub: HubThread, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns_module, "PING_EVERY", 0.1)
    hub.hub.silence = 0.5
    layer = LocalLayer(hub.path)
    reader = layer.reader(["c"], window=1, threads=1)
    layer.publish(Send("c", b"x"))
    delivery = reader.receive(STUCK)
    assert delivery
    threading.Event().wait(1.5)
    reader.commit(delivery)
    assert layer.statistics().committed == 1
    layer.close()


def test_the_watcher_survives_a_failure(hub: HubThread, monkeypatch: pytest.MonkeyPatch) -> None:
    layer = LocalLayer(hub.path)
    reader = layer.reader(["c"], window=1, threads=1)

    def fail() -> None:
        monkeypatch.undo()
        raise RuntimeError("a test")

    monkeypatch.setattr(layer.turns, "_look_closely", fail)
    layer.turns.watch()
    wait_until(lambda: layer.turns._look_closely.__name__ != "fail")
    assert layer.turns._watcher
    assert layer.turns._watcher.is_alive()
    reader.close()
    layer.close()
