"""Clients that break every rule: each is cut off with one clear line in the log, and nobody else notices."""

import logging
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from fairway.broker.effects import Ending, Envelope, Item, Send
from fairway.layers import LocalLayer
from fairway.layers.hub import peer as peer_module
from fairway.layers.hub import server as server_module
from fairway.limits import BrokerLimits, ChannelRule
from fairway.wire.hub import (
    HELLO_LIMIT,
    MAGIC,
    Announce,
    Answer,
    Call,
    Commit,
    Delivered,
    Frame,
    Hello,
    Items,
    Leave,
    Mark,
    Open,
    Own,
    Ping,
    Pong,
    Publish,
    Readers,
    Refusal,
    Reply,
    Submit,
    Welcome,
    Withdraw,
    pack,
)
from tests.support.hubs import HubThread, RawLine
from tests.support.waiting import wait_until

LIMITS = BrokerLimits(rules=(("small", ChannelRule(capacity=1)), ("*", ChannelRule())))


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[HubThread]:
    with HubThread(tmp_path / "hub.sock", LIMITS) as hub:
        yield hub


@pytest.fixture
def impatient(tmp_path: Path) -> Iterator[HubThread]:
    """A hub that takes the silent for dead after a moment."""
    with HubThread(tmp_path / "hub.sock", LIMITS, silence=0.3) as hub:
        yield hub


@pytest.fixture
def conversation(hub: HubThread) -> Iterator[None]:
    """A busy worker beside the test's peer: at the end it has got everything, in order."""
    layer = LocalLayer(hub.path)
    reader = layer.reader(["talk"])
    stop, found, sent = threading.Event(), [], []

    def consume() -> None:
        while (delivery := reader.receive()) is not None:
            found.append((delivery.envelope.attempt, int(delivery.body)))
            reader.commit(delivery)

    def speak() -> None:
        while not stop.is_set():
            layer.publish(Send("talk", str(len(sent)).encode()), 5)
            sent.append((1, len(sent)))

    threads = [threading.Thread(target=consume), threading.Thread(target=speak)]
    for thread in threads:
        thread.start()
    wait_until(lambda: len(found) > 10)
    yield
    before = len(found)
    wait_until(lambda: len(found) > before + 10, "the conversation to go on")
    stop.set()
    threads[1].join()
    wait_until(lambda: len(found) == len(sent))
    reader.pause()
    threads[0].join()
    layer.close()
    assert found == sent


def lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


def framed(payload: bytes) -> bytes:
    return len(payload).to_bytes(4, "big") + payload


GREETING = pack(Hello(MAGIC, 1, 2, "raw"))

BEFORE_HELLO = {
    "http": (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", "does not speak the protocol of a hub: a frame of 1195725856 bytes"),
    "garbage": (b"\xff" * 5000, "does not speak the protocol of a hub: a frame of 4294967295 bytes"),
    "nothing framed": (framed(b"\xc1"), "does not speak the protocol of a hub: no frame"),
    "a hello of 80 MiB": ((80 << 20).to_bytes(4, "big"), "a frame of 83886080 bytes, above the limit of 4096"),
    "no hello first": (pack(Ping()), "a Ping frame has no place here"),
    "another protocol": (pack(Hello("amqp", 1, 2)), "its hello is of another protocol"),
    "a version to come": (
        pack(Hello(MAGIC, 7, 9, "new")),
        "new off: it speaks versions 7 to 9 of the protocol, this hub 1 to 2",
    ),
    "a version long gone": (pack(Hello(MAGIC, 0, 0)), "it speaks versions 0 to 0 of the protocol, this hub 1 to 2"),
    "forged lines": (pack(Hello(MAGIC, 7, 9, "x\nERROR all is lost")), "off: it speaks"),
    "much before the welcome": (GREETING + pack(Announce(["x" * HELLO_LIMIT])), "above the limit of 4096"),
}
AFTER_HELLO = {
    "a second hello": (GREETING, "a Hello frame has no place here"),
    "an unknown frame": (framed(b"\x91\x63"), "no frame of this protocol"),
    "what only hubs say": (pack(Pong()), "no frame of this protocol"),
    "a frame too long": ((81 << 20).to_bytes(4, "big"), "above the limit of 83886080"),
    "an unknown ending": (framed(b"\x95\x0b\x01\x01\x07\x90"), "no frame of this protocol"),
    "an unknown mark": (framed(b"\x93\x22\xa1x\xa1y"), "no frame of this protocol"),
    "a second Own": (pack(Own(1, ["a!"])) + pack(Own(2, ["b!"])), "a line owns one inbox"),
    "an Own of nothing": (pack(Own(1, [])), "a line owns one inbox"),
    "an Own of no prefix": (pack(Own(1, ["a"])), "prefixes that end in '!'"),
    "an Own of no name": (pack(Own(1, ["a\n!"])), "is no channel name"),
    "too many sessions": (b"".join(pack(Open(number, 1, ["c"], 1)) for number in range(101)), "100 sessions"),
    "a token twice": (b"".join(pack(Publish(7, Send("small", b"x"), 60)) for _ in range(3)), "token 7 is of another"),
}


@pytest.mark.parametrize(("data", "reason"), BEFORE_HELLO.values(), ids=BEFORE_HELLO)
@pytest.mark.usefixtures("conversation")
def test_whoever_does_not_greet_is_cut_off(
    hub: HubThread, caplog: pytest.LogCaptureFixture, data: bytes, reason: str
) -> None:
    with RawLine(hub.path, greet=False) as line:
        line.send(data)
        last = line.end()[-1]
    assert isinstance(last, Refusal)
    (text,) = lines(caplog)
    assert reason in text
    assert "\n" not in text


@pytest.mark.parametrize(("data", "reason"), AFTER_HELLO.values(), ids=AFTER_HELLO)
@pytest.mark.usefixtures("conversation")
def test_whoever_breaks_a_rule_is_cut_off(
    hub: HubThread, caplog: pytest.LogCaptureFixture, data: bytes, reason: str
) -> None:
    with RawLine(hub.path) as line:
        line.send(data)
        last = line.end()[-1]
    assert isinstance(last, Refusal)
    assert last.reason in lines(caplog)[-1]
    (text,) = lines(caplog)
    assert text.startswith("the hub cuts raw off: ")
    assert reason in text


@pytest.mark.usefixtures("conversation")
def test_half_a_frame_and_the_end(hub: HubThread, caplog: pytest.LogCaptureFixture) -> None:
    with RawLine(hub.path) as line:
        line.send(pack(Ping())[:-1])
    wait_until(lambda: lines(caplog))
    assert lines(caplog) == ["the line of raw ended within a frame"]


def test_a_frame_that_does_not_go_on(impatient: HubThread, caplog: pytest.LogCaptureFixture) -> None:
    with RawLine(impatient.path) as line:
        line.send((70 << 20).to_bytes(4, "big") + b"\x93" * 10_000)
        line.end()
    assert lines(caplog) == ["the hub cuts raw off: a frame that it has begun did not go on for 0.3 s"]


def test_no_hello(impatient: HubThread, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_module, "HELLO_TIMEOUT", 0.2)
    with RawLine(impatient.path, greet=False) as line:
        line.send(b"\0\0")
        line.end()
    assert lines(caplog) == ["the hub cuts a client off: no hello within 0.2 s"]


def test_a_probe_is_nobody(hub: HubThread, caplog: pytest.LogCaptureFixture) -> None:
    RawLine(hub.path, greet=False).close()
    with RawLine(hub.path):
        assert lines(caplog) == []


def test_a_session_without_a_sign_of_life(impatient: HubThread, caplog: pytest.LogCaptureFixture) -> None:
    """What it holds is delivered to another; a line without a session may be silent."""
    with RawLine(impatient.path) as silent, RawLine(impatient.path) as dead:
        dead.say(Open(1, 1, ["c"], 1), Publish(2, Send("c", b"x")))
        assert dead.wait_for(Delivered).delivery.envelope.attempt == 1
        dead.end()
        silent.say(Open(1, 1, ["c"], 1))
        assert silent.wait_for(Delivered).delivery.envelope.attempt == 2
    assert lines(caplog) == ["the hub cuts raw off: no sign of life for 0.3 s"]


def test_signs_of_life(impatient: HubThread) -> None:
    pings = 0
    with RawLine(impatient.path) as line:
        line.say(Open(1, 1, ["c"], 1))
        wait = threading.Event()
        while pings < 20:
            line.say(Ping())
            line.wait_for(Pong)
            pings += 1
            wait.wait(0.05)
        assert len(impatient.hub.peers) == 1


def test_a_client_that_stops_reading(impatient: HubThread, caplog: pytest.LogCaptureFixture) -> None:
    with RawLine(impatient.path) as line, RawLine(impatient.path) as other:
        body = b"x" * 500_000
        for number in range(8):
            other.say(Publish(number, Send("c", body)))
            other.wait_for(Answer)
        line.say(Open(1, 1, ["c"], 8))
        wait_until(lambda: lines(caplog))
        assert lines(caplog) == ["the hub cuts raw off: it has read nothing for 0.3 s"]
        other.say(Open(1, 1, ["c"], 8))
        assert [other.wait_for(Delivered).delivery.envelope.attempt for _ in range(8)] == [2] * 8


def test_a_client_that_reads_slowly_is_not_cut_off(impatient: HubThread, caplog: pytest.LogCaptureFixture) -> None:
    with RawLine(impatient.path) as line:
        line.say(Open(1, 1, ["c"], 8))
        line.wait_for(Answer)
        with RawLine(impatient.path) as other:
            for number in range(8):
                other.say(Publish(number, Send("c", b"x" * 500_000)))
        wait, size = threading.Event(), 0
        while size < 3_500_000:
            size += len(line.socket.recv(200_000))
            wait.wait(0.06)
        assert lines(caplog) == []


def test_a_server_process_that_stops_reading_has_more_time(
    impatient: HubThread, caplog: pytest.LogCaptureFixture
) -> None:
    with RawLine(impatient.path) as line, RawLine(impatient.path) as other:
        line.say(Own(1, ["s!"]))
        line.wait_for(Readers)
        for number in range(6):
            other.say(Publish(number, Send("s!1", b"x" * 500_000), 5))
        wait_until(lambda: lines(caplog))
    patience = 0.3 * peer_module.OWNER_PATIENCE
    assert lines(caplog) == [f"the hub cuts raw off: it has read nothing for {patience:g} s"]


def test_questions_whose_answers_nobody_reads_wait(hub: HubThread) -> None:
    """A few bytes ask for megabytes each: they are looked at as their answers are read."""
    done = []
    for number in range(8):
        hub.layer.broker.post.dead.bury((Envelope(str(number), "c"), b"x" * 1_000_000), "attempts", 0)
    with RawLine(hub.path) as line:
        line.say(*(Call(number, "dead_letters", [100]) for number in range(200)))
        (peer,) = hub.hub.peers
        wait_until(lambda: peer._is_slow)
        assert peer._transport.get_write_buffer_size() < 100_000_000  # of 1.6 GB
        done = [line.wait_for(Answer).token for _ in range(200)]
        line.say(Ping())
        line.wait_for(Pong)
    assert done == list(range(200))


def test_publishes_that_wait_are_bounded(hub: HubThread, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peer_module, "MOST_PUBLISHES", 3)
    with RawLine(hub.path) as line:
        line.say(*(Publish(number, Send("small", b""), 1e300) for number in range(5)))
        assert line.wait_for(Answer) == Answer(0)
        assert line.wait_for(Answer).error == ["ChannelFull", "small", "at capacity"]
        line.say(Withdraw(2), Withdraw(2), Withdraw(77))
        line.say(Publish(9, Send("other", b"")))
        assert line.wait_for(Answer) == Answer(9)
        (peer,) = hub.hub.peers
        assert set(peer.publishing) == {1, 3}
    wait_until(lambda: not hub.hub.peers)
    assert not hub.layer.locked.waiting


OWNERS_FRAMES = [
    Submit(Envelope("m", "c", "s!1", 0), b"x"),
    Leave("g", 1),
    Reply(1, ["x"]),
    Mark("s!1", "congested"),
    Announce(["g"]),
]


@pytest.mark.parametrize("frame", OWNERS_FRAMES, ids=repr)
def test_an_inbox_that_is_not_there(hub: HubThread, frame: Frame) -> None:
    """The last words of a line whose prefixes another line owns by now."""
    with RawLine(hub.path) as line:
        line.say(frame, Ping())
        line.wait_for(Pong)
    assert hub.layer.statistics().channels == {}


def test_an_answer_of_the_wrong_kind_is_no_answer(hub: HubThread) -> None:
    with RawLine(hub.path) as line, RawLine(hub.path) as asking:
        line.say(Own(1, ["s!"]))
        asking.say(Call(1, "state", ["s!1"]))
        (ask,) = line.wait_for(Items).items
        line.say(Reply(ask.token, ["a list"]), Reply(ask.token, None), Reply(12345, None))
        assert asking.wait_for(Answer) == Answer(1, {})


def test_items_of_a_server_that_is_far_behind(hub: HubThread, monkeypatch: pytest.MonkeyPatch) -> None:
    """More than a frame holds: they come in several, in order."""
    monkeypatch.setattr("fairway.wire.hub.FRAME_LIMIT", 1_000_000)
    with RawLine(hub.path) as line, RawLine(hub.path) as worker:
        line.say(Own(1, ["s!"]))
        line.wait_for(Answer)
        outbox = [Send(f"s!{number}", b"x" * 90_000) for number in range(10)]
        for number in range(3):
            worker.say(Open(1, 1, ["c"], 1), Publish(number, Send("c", b"x")))
            receipt = worker.wait_for(Delivered).delivery.receipt
            worker.say(Commit(1, receipt, Ending.DONE, outbox))
        found: list[Item] = []
        while len(found) < 30:
            found += line.wait_for(Items).items
        assert [item.channel for item in found] == [f"s!{number}" for number in range(10)] * 3


def test_more_lines_than_there_may_be(
    hub: HubThread, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ten more that knock are one line in the log, until there was room again."""
    monkeypatch.setattr(server_module, "PEERS", 3)
    for _ in range(2):
        lines_ = [RawLine(hub.path) for _ in range(3)]
        for _ in range(10):
            with RawLine(hub.path, greet=False) as more:
                assert isinstance(more.end()[-1], Refusal)
        for line in lines_:
            line.close()
        wait_until(lambda: not hub.hub.peers)
    assert len(lines(caplog)) == 2
    assert "the hub has 3 lines already" in lines(caplog)[0]


def test_a_line_after_the_layer_was_closed(hub: HubThread) -> None:
    with RawLine(hub.path) as line:
        hub.layer.close()
        line.say(Call(1, "statistics"), Open(1, 2, ["c"], 1))
        assert isinstance(line.end()[-1], Refusal)


def test_a_welcome_says_which_version(hub: HubThread) -> None:
    for versions, version in (((1, 1), 1), ((1, 2), 2), ((2, 99), 2), ((0, 1), 1)):
        with RawLine(hub.path, versions=versions) as line:
            assert line.welcome == Welcome(version, hub.layer.broker.epoch)
