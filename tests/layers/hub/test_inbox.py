"""A server process's inbox at a hub in another process: what it hears when that goes away and comes back."""

import asyncio
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from fairway.broker.effects import Announced, Envelope, Frame, GroupFrame, GroupSend, Item, Renewed, Send, Severed
from fairway.errors import InvalidName, LayerUnavailable
from fairway.layers import LocalLayer
from fairway.layers.hub import inbox as inbox_module
from fairway.layers.hub.client import HubLayer
from fairway.wire.hub import Answer, Own
from tests.layers.hub.conversation import converse
from tests.support.hubs import HubThread, RawLine
from tests.support.redis import make_certificates
from tests.support.tcp_hubs import TcpHubThread
from tests.support.waiting import await_until


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[HubThread]:
    with HubThread(tmp_path / "hub.sock") as hub:
        yield hub


@pytest.fixture
def layer(hub: HubThread) -> Iterator[LocalLayer]:
    layer = LocalLayer(hub.path)
    yield layer
    layer.close()


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


class Owner:
    """An inbox, and everything that has come to it."""

    def __init__(self, layer: LocalLayer) -> None:
        self.items: list[Item] = []
        self.inbox = layer.inbox(["s!"], self.take)
        self.take()

    def take(self) -> None:
        if hasattr(self, "inbox"):
            self.items += self.inbox.drain()

    async def wait_for(self, item: Item) -> None:
        await await_until(lambda: item in self.items, f"{item} in {self.items}")


@pytest.mark.usefixtures("loop_factory")
async def test_a_conversation(layer: LocalLayer) -> None:
    await converse(layer)
    layer.close()


@pytest.mark.usefixtures("loop_factory")
@pytest.mark.parametrize(("newest", "kept"), [(2, ["s!1"]), (1, [])])
async def test_wills_are_for_hubs_that_know_them(hub: HubThread, newest: int, kept: list[str]) -> None:
    layer = LocalLayer(hub.path, versions=(1, newest))
    owner = Owner(layer)
    owner.inbox.will("s!1", b"x", -1, None)
    owner.inbox.submit(Envelope("m", "c", "s!1", 0), b"x")
    await await_until(lambda: "c" in hub.layer.statistics().channels)
    [inbox] = hub.layer.broker.owners._inboxes.values()
    assert list(inbox.wills) == kept
    layer.close()


@pytest.mark.usefixtures("loop_factory")
async def test_a_hub_that_comes_back(hub: HubThread, layer: LocalLayer, caplog: pytest.LogCaptureFixture) -> None:
    """`Severed`, then `Renewed`; what is said in between reaches nobody; afterwards all is as before."""
    epochs = []
    layer.on_renewed = lambda: epochs.append(owner.inbox._epoch)
    owner = Owner(layer)
    for _ in range(2):
        hub.stop()
        await owner.wait_for(Severed())
        owner.inbox.submit(Envelope("lost", "c", "s!1", 0), b"x")
        assert not owner.inbox.has_reader("c")
        await asyncio.to_thread(hub.start)
        await owner.wait_for(Renewed())
        assert owner.items == [Severed(), Renewed()]
        owner.inbox.announce(["g"])
        await await_until(lambda: isinstance(owner.items[-1], Announced))
        await layer.apublish(GroupSend("g", b"hello"))
        await await_until(lambda: isinstance(owner.items[-1], GroupFrame))
        owner.inbox.submit(Envelope("m", "c", "s!1", 0), b"x")
        await await_until(lambda: "c" in hub.layer.statistics().channels)
        owner.items.clear()
    assert len(set(epochs)) == len(epochs) == 2
    layer.close()
    await await_until(lambda: not hub.hub.peers)
    told = [text for text in warnings(caplog) if "its items wait" in text]
    assert told == [f"the hub at {hub.path} is away (the hub stops); its items wait until it is back"] * 2


async def test_a_line_that_is_cut_is_made_again(hub: HubThread, layer: LocalLayer) -> None:
    """The hub is the same: nobody has to be told of a new epoch."""
    renewed = []
    layer.on_renewed = lambda: renewed.append(1)
    owner = Owner(layer)
    hub.loop.call_soon_threadsafe(lambda: [peer.cut("a test") for peer in tuple(hub.hub.peers)])
    await owner.wait_for(Renewed())
    await layer.apublish(Send("s!1", b"x"))
    await owner.wait_for(Frame("s!1", b"x"))
    assert owner.items == [Severed(), Renewed(), Frame("s!1", b"x")]
    assert renewed == []
    layer.close()


async def test_the_owner_is_known_before_anything_else(hub: HubThread, layer: LocalLayer) -> None:
    """Whatever `Renewed` brings about finds the prefixes owned: a message for them is not lost."""
    owner = Owner(layer)

    def on_readable() -> None:
        owner.take()
        if owner.items[-1] == Renewed():
            owner.inbox.submit(Envelope("m", "c", "s!1", 0, attempt=2), b"x")
            owner.inbox.announce(["g"])

    owner.inbox._on_readable = on_readable
    hub.stop()
    await asyncio.to_thread(hub.start)
    await owner.wait_for(Announced("g", 1))
    assert hub.layer.statistics().channels["c"].waiting == 1
    assert hub.layer.statistics().repeats_dropped == 0
    layer.close()


async def test_a_hub_that_refuses_is_told_once(
    hub: HubThread, layer: LocalLayer, caplog: pytest.LogCaptureFixture
) -> None:
    owner = Owner(layer)
    hub.stop()
    await owner.wait_for(Severed())
    hub._versions = (7, 8)
    await asyncio.to_thread(hub.start)
    refusals = lambda: [text for text in warnings(caplog) if "refuses this client" in text]  # noqa: E731
    cuts = lambda: [text for text in warnings(caplog) if "the hub cuts" in text]  # noqa: E731
    await await_until(lambda: len(cuts()) > 2)
    assert len(refusals()) == 1
    assert "it speaks versions 1 to 2 of the protocol, this hub 7 to 8" in refusals()[0]
    hub.stop()
    hub._versions = (1, 2)
    await asyncio.to_thread(hub.start)
    await owner.wait_for(Renewed())
    layer.close()


async def test_no_hub_at_all(tmp_path: Path) -> None:
    layer = LocalLayer(str(tmp_path / "none.sock"))
    with pytest.raises(LayerUnavailable, match=f"no hub answers at {tmp_path / 'none.sock'}"):
        layer.inbox(["s!"], lambda: None)
    with pytest.raises(InvalidName):
        layer.inbox(["s"], lambda: None)
    layer.close()


async def test_a_hub_of_another_version(tmp_path: Path) -> None:
    with HubThread(tmp_path / "hub.sock", versions=(1, 1)) as hub:
        layer = LocalLayer(hub.path, versions=(2, 3))
        with pytest.raises(LayerUnavailable, match="it speaks versions 2 to 3 of the protocol, this hub 1 to 1"):
            layer.inbox(["s!"], lambda: None)
        layer.close()


async def test_a_hub_that_stops_reading_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(inbox_module, "UNSENT", 1000)
    with HubThread(tmp_path / "hub.sock") as hub:
        layer = LocalLayer(hub.path)
        owner = Owner(layer)
        await await_until(lambda: len(hub.hub.peers) == 1)
        hub.loop.call_soon_threadsafe(lambda: [peer._transport.pause_reading() for peer in hub.hub.peers])
        while Severed() not in owner.items:
            owner.inbox.submit(Envelope("m", "c", "s!1", 0), b"x" * 100_000)
            await asyncio.sleep(0)
        await owner.wait_for(Renewed())
        layer.close()
    assert any("it has stopped reading" in text for text in warnings(caplog))


async def test_closing(hub: HubThread, layer: LocalLayer) -> None:
    owner = Owner(layer)
    owner.inbox.submit(Envelope("m", "c", "s!1", 0), b"x")
    owner.inbox.close()
    owner.inbox.close()
    with pytest.raises(LayerUnavailable, match="the inbox is closed"):
        owner.inbox.submit(Envelope("m", "c", "s!1", 0), b"x")
    await await_until(lambda: not hub.layer.statistics().owners)
    await await_until(lambda: not hub.hub.peers)
    layer.close()


async def test_closing_while_the_hub_is_away(hub: HubThread, layer: LocalLayer) -> None:
    owner = Owner(layer)
    hub.stop()
    await owner.wait_for(Severed())
    owner.inbox.close()
    await await_until(owner.inbox._task.done)
    layer.close()


async def test_closing_in_another_thread(hub: HubThread, layer: LocalLayer) -> None:
    Owner(layer)
    await await_until(lambda: hub.layer.statistics().owners == 1)
    await asyncio.to_thread(layer.close)
    await await_until(lambda: not hub.hub.peers)
    layer.close()


def test_closing_after_the_event_loop(hub: HubThread) -> None:
    """An inbox that the loop had not taken over when it ended leaves nothing open."""
    for turns in range(2):
        layer = LocalLayer(hub.path)

        async def main(layer: LocalLayer = layer, turns: int = turns) -> None:
            Owner(layer)
            for _ in range(turns):
                await asyncio.sleep(0)

        asyncio.run(main())
        layer.close()


async def test_a_hub_of_the_first_version_does_not_tell_who_is_read(tmp_path: Path) -> None:
    with HubThread(tmp_path / "hub.sock", versions=(1, 1)) as hub:
        layer = LocalLayer(hub.path)
        assert Owner(layer).inbox.has_reader("anything")
        layer.close()


async def test_a_prefix_that_another_line_has_taken(hub: HubThread, layer: LocalLayer) -> None:
    owner = Owner(layer)
    with RawLine(hub.path) as other:
        other.say(Own(1, ["s!"]))
        other.wait_for(Answer)
        owner.inbox.submit(Envelope("m", "c", "s!1", 0), b"x")
        await layer.apublish(Send("s!1", b"x"))
        assert owner.items == []
    assert "c" not in hub.layer.statistics().channels
    layer.close()


async def test_an_inbox_over_tls_comes_back(tmp_path: Path) -> None:
    """The hub is started again; the inbox owns its prefixes at the new one, and says so."""
    with TcpHubThread(tmp_path / "hub", certificates=make_certificates(tmp_path)) as hub:
        layer = HubLayer(hub.address)
        inbox = layer.inbox(["s!"], lambda: None)
        items: list[Item] = []

        async def wait_item(item: Item) -> None:
            def come() -> bool:
                items.extend(inbox.drain())
                return item in items

            await await_until(come, type(item).__name__)

        for body in (b"a" * 300_000, b"b" * 300_000):
            await await_until(lambda: hub.layer.statistics().owners == 1)
            hub.layer.publish(Send("s!1", body))
            await wait_item(Frame("s!1", body))
            inbox.submit(Envelope("m", "c", "s!1", 0), body)
            await await_until(lambda: hub.layer.statistics().channels)
            items.clear()
            await asyncio.to_thread(hub.stop)
            await wait_item(Severed())
            await asyncio.to_thread(hub.start)
            await wait_item(Renewed())
        inbox.close()
        await asyncio.to_thread(layer.close)
