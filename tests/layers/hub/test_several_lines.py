"""Lines to several hubs, read as one: whoever leads waits for all of them, and each is made again by itself."""

import logging
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from fairway.errors import LayerUnavailable
from fairway.layers.hub import several_lines
from fairway.layers.hub.address import HubAddress
from fairway.layers.hub.line import Line
from fairway.layers.hub.several import SeveralLayer
from fairway.layers.hub.several_lines import Keeper, SeveralLines
from fairway.wire.hub import VERSIONS, Ping, Pong, pack
from tests.support.hubs import HubThread
from tests.support.tcp_hubs import TcpHubThread
from tests.support.waiting import wait_until


class Pair:
    """Two lines, and what their ends tell."""

    def __init__(self, folder: Path) -> None:
        self.addresses = [HubAddress(path=str(folder / f"{name}.sock")) for name in "ab"]
        self.own = [
            Line(address, VERSIONS, partial(self.made, number), partial(self.lost, number), (number, 2))
            for number, address in enumerate(self.addresses)
        ]
        self.lines = SeveralLines(self.own)

    def made(self, number: int, use: Callable[[bytes], None]) -> None:
        use(b"")
        self.lines.made(number)

    def lost(self, number: int) -> None:
        self.lines.lost(number)


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    pair = Pair(tmp_path)
    yield pair
    pair.lines.close()


def test_whatever_comes_first_is_read(pair: Pair) -> None:
    with HubThread(pair.addresses[0].path), HubThread(pair.addresses[1].path):
        pair.lines.ensure(5)
        wait_until(lambda: all(line.is_up for line in pair.own))
        assert pair.lines.read(0) == []
        for number, line in enumerate(pair.own):
            line.write(pack(Ping()))
            found = []
            while not found:
                found = pair.lines.read(5)
            assert found == [(number, line.generation, [Pong()])]
        pair.lines.post(pack(Ping()))
        pair.lines.write_posted()
        come: list[int] = []
        while sorted(come) != [0, 1]:
            come += [number for number, _, _ in pair.lines.read(5)]
        assert pair.lines.read(0.01) == []


def test_who_waits_already_reads_a_line_that_is_new(pair: Pair) -> None:
    with HubThread(pair.addresses[0].path):
        pair.lines.ensure(5)
        found: list[object] = []

        def lead() -> None:
            while not found:
                found.extend(pair.lines.read(None))

        leader = threading.Thread(target=lead)
        leader.start()
        with HubThread(pair.addresses[1].path):
            wait_until(lambda: pair.own[1].is_up)
            pair.own[1].write(pack(Ping()))
            leader.join(10)
            assert found == [(1, pair.own[1].generation, [Pong()])]


def test_nobody_is_there(pair: Pair) -> None:
    assert not pair.lines.is_up
    there = "(the hub at|no hub answers at)"
    message = f"none of 2 hubs can be reached: {there} .*a.sock.*; {there} .*b.sock"
    with pytest.raises(LayerUnavailable, match=message):
        pair.lines.ensure(0.01)
    before = time.monotonic()
    assert pair.lines.pause(0.01) is False
    assert time.monotonic() > before
    pair.lines.close()
    with pytest.raises(LayerUnavailable, match="the layer is closed"):
        pair.lines.ensure(0)
    assert pair.lines.pause(5) is True
    assert pair.lines.read(5) == []
    pair.lines.start()


def test_a_hub_goes_and_comes_back(pair: Pair) -> None:
    with HubThread(pair.addresses[0].path) as first:
        pair.lines.ensure(5)
        first.stop()
        while pair.own[0].is_up:
            pair.lines.read(0.01)
        assert not pair.lines.is_up
        first.start()
        wait_until(lambda: pair.lines.is_up)


def test_a_silent_hub_on_another_host_is_given_up(tmp_path: Path) -> None:
    """One whose pings were not answered, although somebody looked; what nobody has read is no silence."""
    with TcpHubThread(tmp_path / "a") as first, TcpHubThread(tmp_path / "b") as second:
        layer = SeveralLayer([first.address, second.address])
        layer.line.start()
        wait_until(lambda: all(branch.line.is_up for branch in layer.branches))
        silent, other = layer.branches
        generations = [branch.line.generation for branch in layer.branches]
        layer.line.keepers[0].asked = layer.line.keepers[1].asked = time.monotonic() - several_lines.SILENCE - 1
        layer.nudge()
        assert [branch.line.generation for branch in layer.branches] == generations
        other.statistics()
        layer.line.keepers[0].asked = time.monotonic() - several_lines.SILENCE - 1
        layer.nudge()
        wait_until(lambda: silent.line.generation > generations[0])
        assert other.line.generation == generations[1]
        layer.close()


def test_a_keeper_survives_what_nobody_expects(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.ERROR, "fairway.layer")
    failures = [ValueError("odd")]

    def made(use: Callable[[bytes], None]) -> None:
        if failures:
            raise failures.pop()
        use(b"")

    with HubThread(tmp_path / "hub.sock") as hub:
        line = Line(HubAddress(path=hub.path), VERSIONS, made, lambda: None)
        keeper = Keeper(line)
        keeper.start()
        wait_until(lambda: line.is_up)
        line.close()
        keeper.wake()
    assert "cannot be made; trying again" in caplog.text
