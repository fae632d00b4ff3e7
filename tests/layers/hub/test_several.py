"""A layer of several hubs: the conformance suite with two of them, and hubs that come and go."""

import asyncio
import contextlib
import itertools
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from fairway.broker.effects import Add, Ask, Ending, Envelope, Send
from fairway.broker.effects import Frame as FrameItem
from fairway.errors import DeliveryLost, LayerUnavailable
from fairway.layers.base import Layer
from fairway.layers.hub import several
from fairway.layers.hub.address import HubAddress
from fairway.layers.hub.secret import SecretSource
from fairway.layers.hub.several import Addresses, SeveralLayer
from fairway.layers.hub.tcp_address import Access, TcpAddress
from fairway.limits import BrokerLimits
from fairway.testing.layer_conformance import LayerConformance
from tests.support.hubs import HubThread
from tests.support.waiting import await_until, wait_until


def client_of(*hubs: HubThread, wait: float = 5) -> SeveralLayer:
    """A layer that has met all of them."""
    layer = SeveralLayer([HubAddress(path=hub.path) for hub in hubs], wait)
    layer.line.start()
    wait_until(lambda: all(branch.line.is_up for branch in layer.branches))
    return layer


class TestSeveralLayer(LayerConformance):
    """The suite that every layer passes; what it publishes goes to the first of two hubs that know nothing of each."""

    pushes_items = True
    _numbers = itertools.count()

    @pytest.fixture(autouse=True)
    def _hubs(self, tmp_path: Path) -> Iterator[None]:
        self._folder = tmp_path
        self._hubs: list[HubThread] = []
        yield
        for hub in self._hubs:
            hub.stop()

    def make_layer(self, limits: BrokerLimits) -> Layer:
        """Start two hubs, and return a client of them."""
        hubs = [HubThread(self._folder / f"{next(self._numbers)}.sock", limits) for _ in range(2)]
        self._hubs += hubs
        return client_of(*hubs)

    def make_rival(self, layer: Layer) -> Layer:
        """Return another client of the same hubs."""
        assert isinstance(layer, SeveralLayer)
        rival = SeveralLayer(layer.address.each)
        rival.line.start()
        wait_until(lambda: all(branch.line.is_up for branch in rival.branches))
        self._opened.append(rival)
        return rival


@pytest.fixture
def hubs(tmp_path: Path) -> Iterator[list[HubThread]]:
    hubs = [HubThread(tmp_path / f"{name}.sock") for name in "abc"]
    yield hubs
    for hub in hubs:
        hub.stop()


def waiting(hub: HubThread, channel: str = "c") -> int:
    channels = hub.layer.statistics().channels
    return channels[channel].waiting if channel in channels else 0


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name == "fairway.layer"]


def test_publishes_go_to_the_first_that_is_up(hubs: list[HubThread], caplog: pytest.LogCaptureFixture) -> None:
    layer = client_of(*hubs)
    layer.publish(Send("c", b"1"))
    assert [waiting(hub) for hub in hubs] == [1, 0, 0]
    hubs[0].stop()
    wait_until(lambda: not hubs[0].hub.peers)
    layer.publish(Send("c", b"2"))
    assert [waiting(hub) for hub in hubs[1:]] == [1, 0]
    hubs[0].start()
    wait_until(lambda: layer.branches[0].line.is_up)
    layer.publish(Send("c", b"3"))
    assert [waiting(hub) for hub in hubs] == [1, 1, 0]
    layer.close()
    texts = [text.split(" (")[0] for text in warnings(caplog)]
    assert texts == [f"the hub at {hubs[0].path} is {word}" for word in ("away", "back")]


def test_what_follows_a_delivery_goes_to_the_hub_that_gave_it(hubs: list[HubThread]) -> None:
    layer = client_of(*hubs)
    reader = layer.reader(["c"], window=2, threads=2)
    for number, hub in enumerate(hubs):
        hub.layer.publish(Send("c", bytes([number])))
    for _ in hubs:
        delivery = reader.receive(5)
        assert delivery
        number = delivery.body[0]
        reader.publish(delivery, Send("published", b"x"))
        reader.commit(delivery, [Send("committed", b"x")])
        wait_until(lambda: waiting(hubs[number], "committed") == 1)  # noqa: B023  called at once
        assert waiting(hubs[number], "published") == 1
    with pytest.raises(DeliveryLost):
        reader.commit(delivery)
    assert [hub.layer.statistics().committed for hub in hubs] == [1, 1, 1]
    layer.close()


async def test_what_is_about_a_connection_goes_to_the_hub_of_its_server(hubs: list[HubThread]) -> None:
    """Hubs that know nothing of each other: the second one's connection joins a group, and is asked for its state."""
    layer = await asyncio.to_thread(client_of, *hubs)
    inbox = hubs[1].layer.inbox(["s!"], lambda: None)
    reader = await asyncio.to_thread(layer.reader, ["talk"])
    receiving = asyncio.create_task(reader.areceive(5))
    inbox.submit(Envelope("m1", "talk", "s!1", 0), b"x")
    delivery = await receiving
    assert delivery
    await layer.agroup_add("g", "s!1")
    await layer.apublish(Send("s!1", b"direct"))
    kinds = [type(item) for item in inbox.drain()]
    assert kinds == [Add, FrameItem]
    asking = asyncio.create_task(layer.agroup_channels("g"))
    await await_until(lambda: hubs[1].layer.statistics().groups)
    items: list[object] = []
    await await_until(lambda: items.extend(inbox.drain()) or items)  # type: ignore[func-returns-value]
    (ask,) = items
    assert isinstance(ask, Ask)
    inbox.answer(ask.token, ["s!1"])
    assert await asking == ["s!1"]
    await reader.acommit(delivery)
    layer.close()


def test_a_hub_that_comes_later_is_read_too(hubs: list[HubThread], caplog: pytest.LogCaptureFixture) -> None:
    hubs[2].stop()
    layer = SeveralLayer([HubAddress(path=hub.path) for hub in hubs], wait=5)
    reader = layer.reader(["c"], window=1, threads=1)
    wait_until(lambda: warnings(caplog))
    hubs[2].start()
    wait_until(lambda: hubs[2].layer.statistics().sessions == 1)
    hubs[2].layer.publish(Send("c", b"late"))
    delivery = reader.receive(5)
    assert delivery
    assert delivery.body == b"late"
    layer.close()
    (text,) = warnings(caplog)
    assert text.startswith(f"no hub answers at {hubs[2].path}")
    assert text.endswith("trying again until it is there")


@pytest.mark.parametrize("threads", [1, None], ids=["a worker's session", "an exact session"])
def test_hubs_come_and_go_while_a_session_reads(hubs: list[HubThread], threads: int | None) -> None:
    """A thread that waits for all of them notices neither that one goes nor that it comes back."""
    layer = client_of(*hubs)
    reader = layer.reader(["c"], window=1, threads=threads)
    found: list[bytes] = []
    expected = 0

    def work() -> None:
        while delivery := reader.receive():
            found.append(delivery.body)
            with contextlib.suppress(DeliveryLost):
                reader.commit(delivery)

    worker = threading.Thread(target=work)
    worker.start()
    for round_ in range(3):
        for hub in hubs:
            hub.stop()
            hub.start()
            wait_until(lambda: hub.layer.statistics().sessions == 1)  # noqa: B023  called at once
            committed = sum(one.layer.statistics().committed for one in hubs)
            hub.layer.publish(Send("c", bytes([round_])))
            for other in hubs:
                other.layer.publish(Send("c", b"other"))
            expected += 4
            # What a hub has when it stops is gone with it.
            wait_until(lambda: sum(one.layer.statistics().committed for one in hubs) >= committed + 4)  # noqa: B023
    assert len(found) >= expected
    reader.close()
    worker.join(30)
    assert not worker.is_alive()
    layer.close()


def test_a_commit_of_a_hub_that_went_away_is_lost(hubs: list[HubThread]) -> None:
    layer = client_of(*hubs)
    reader = layer.reader(["c"], window=1, threads=1)
    hubs[1].layer.publish(Send("c", b"x"))
    delivery = reader.receive(5)
    assert delivery
    hubs[1].stop()
    hubs[1].start()
    wait_until(lambda: hubs[1].layer.statistics().sessions == 1)
    with pytest.raises(DeliveryLost):
        reader.commit(delivery)
    layer.close()


async def test_all_of_them_are_away(hubs: list[HubThread]) -> None:
    for hub in hubs:
        await asyncio.to_thread(hub.stop)
    layer = SeveralLayer([HubAddress(path=hub.path) for hub in hubs], wait=0.05)
    message = "none of 3 hubs can be reached: no hub answers at .*a.sock .*; no hub answers at .*b.sock"
    with pytest.raises(LayerUnavailable, match=message):
        await asyncio.to_thread(layer.publish, Send("c", b"x"))
    with pytest.raises(LayerUnavailable, match=message):
        await layer.apublish(Send("c", b"x"))
    with pytest.raises(LayerUnavailable, match=message):
        await asyncio.to_thread(layer.reader, ["c"])
    with pytest.raises(LayerUnavailable, match=message):
        await layer.agroup_channels("g")
    with pytest.raises(LayerUnavailable, match=r"no hub answers at .*c.sock"):
        layer.inbox(["s!"], lambda: None)
    await asyncio.to_thread(hubs[2].start)
    await await_until(lambda: layer.line.is_up)
    await layer.apublish(Send("c", b"x"))
    assert (await asyncio.to_thread(layer.statistics)).channels["c"].waiting == 1
    await asyncio.to_thread(layer.close)
    with pytest.raises(LayerUnavailable, match="the layer is closed"):
        layer.publish(Send("c", b"x"))


def test_a_hub_that_hangs_is_passed_over(hubs: list[HubThread], monkeypatch: pytest.MonkeyPatch) -> None:
    """One call is lost by it; the next ones go to another hub, until it greets again."""
    monkeypatch.setattr("fairway.layers.hub.client.ANSWER_TIMEOUT", 0.2)
    monkeypatch.setattr("fairway.layers.hub.greeting.HELLO_TIMEOUT", 0.2)
    layer = client_of(*hubs)
    hangs = threading.Event()
    hubs[0].loop.call_soon_threadsafe(hangs.wait)
    with pytest.raises(LayerUnavailable, match="did not answer within"):
        layer.publish(Send("c", b"1"))
    layer.publish(Send("c", b"2"))
    assert waiting(hubs[1]) == 1
    hangs.set()
    wait_until(lambda: layer.branches[0].line.is_up)
    layer.close()


def test_calls_wait_for_a_hub_that_comes_back(hubs: list[HubThread]) -> None:
    layer = client_of(hubs[0], hubs[1])
    for hub in hubs[:2]:
        hub.stop()
    publishing = threading.Thread(target=layer.publish, args=(Send("c", b"x"),))
    publishing.start()
    wait_until(lambda: not layer.line.is_up)
    hubs[1].start()
    publishing.join(30)
    assert waiting(hubs[1]) == 1
    layer.close()


def test_dead_letters_of_all_hubs(tmp_path: Path) -> None:
    hubs = [HubThread(tmp_path / f"{number}.sock", BrokerLimits(requeues=0)) for number in range(3)]
    for hub in hubs:
        hub.layer.publish(Send("c", b"x"))
    layer = client_of(*hubs)
    reader = layer.reader(["c"], window=1, threads=1)
    for _ in hubs:
        delivery = reader.receive(5)
        assert delivery
        reader.commit(delivery, ending=Ending.LATER)
    wait_until(lambda: layer.statistics().dead_letters == 3)
    letters = layer.dead_letters()
    assert (len(letters), len(layer.dead_letters(2))) == (3, 2)
    assert layer.drop_dead([letters[0].id]) == 1
    assert layer.requeue_dead([letter.id for letter in letters]) == 2
    layer.flush()
    layer.close()
    for hub in hubs:
        hub.stop()


def test_a_forked_process_has_lines_of_its_own(hubs: list[HubThread]) -> None:
    layer = client_of(*hubs)
    reader = layer.reader(["c"], window=2, threads=1)
    layer.publish(Send("c", b"1"))
    delivery = reader.receive(5)
    assert delivery
    child = os.fork()
    if child == 0:
        code = 1
        try:
            layer.publish(Send("child", b"x"))
            code = 0 if reader.receive(1) is None else 2
        finally:
            os._exit(code)
    assert os.waitpid(child, 0)[1] == 0
    reader.commit(delivery)
    wait_until(lambda: layer.statistics().committed == 1)
    assert layer.statistics().channels["child"].waiting == 1
    layer.close()


def test_of_too_many_servers_the_oldest_is_forgotten(hubs: list[HubThread], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(several, "MOST_ROUTES", 2)
    layer = client_of(*hubs)
    for number, branch in enumerate(layer.branches):
        layer.learn(f"s{number}!1", branch)
        layer.learn("plain", branch)
    assert list(layer._routes) == ["s1!", "s2!"]
    layer.learn("s1!2", layer.branches[0])
    assert list(layer._routes) == ["s2!", "s1!"]
    layer.close()


def test_the_url_of_a_list() -> None:
    access = Access("/ca.pem", SecretSource("/secret"))
    tcp = [TcpAddress(host=host, port=7400, is_tls=True, access=access) for host in ("a", "::1")]
    assert Addresses(tuple(tcp)).url == "tcp+tls://a:7400,[::1]:7400?ca=/ca.pem&secret_file=/secret"
    assert Addresses((HubAddress(path="/a.sock"), *tcp)).url is None
    assert Addresses((HubAddress(path="/a.sock"),)).url is None
