"""The sessions of a client of the hub: what they may hold, commit and give back, and who is told of them."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from fairway.broker.effects import Ending, Send
from fairway.layers.hub import seats as seats_module
from fairway.wire.hub import (
    Answer,
    Call,
    Commit,
    Delivered,
    Demand,
    Frame,
    Open,
    Own,
    Pause,
    Ping,
    Pong,
    Publish,
    PublishDuring,
    Readers,
    Recalled,
    Refusal,
    Release,
    Shut,
)
from tests.support.hubs import HubThread, RawLine


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[HubThread]:
    with HubThread(tmp_path / "hub.sock") as hub:
        yield hub


def test_the_window_is_bounded(hub: HubThread, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seats_module, "MOST_WINDOW", 5)
    with RawLine(hub.path) as line:
        line.say(Open(1, 1, ["c"], 2**63, -7), Open(2, 1, ["d"], -(2**63)), *[Demand(1, 2**63)] * 3)
        line.say(Demand(2, -(2**63)), Demand(2, 1))
        line.say(*(Publish(3, Send("c", b"x")) for _ in range(9)), Publish(4, Send("d", b"x")))
        line.say(Publish(4, Send("d", b"x")), Ping())
        (peer,) = hub.hub.peers
        line.wait_for(Pong)
        held = [len(hub.layer.broker.sessions[seat.session].leases) for seat in peer.seats.taken.values()]
        assert held == [5, 1]


@pytest.mark.parametrize("frame", [Commit(8, 1, Ending.DONE, []), Release(8, [1]), Demand(8, 1), Shut(8)], ids=repr)
def test_sessions_that_are_not_there(hub: HubThread, frame: Frame) -> None:
    """A client may have closed it a moment ago."""
    with RawLine(hub.path) as line:
        line.say(frame, Ping())
        line.wait_for(Pong)
        line.say(Pause(8, 3))
        assert line.wait_for(Answer) == Answer(3)


def test_receipts_of_others_commit_nothing(hub: HubThread) -> None:
    with RawLine(hub.path) as holder, RawLine(hub.path) as thief:
        for line in (holder, thief):
            line.say(Open(1, 1, ["c" if line is holder else "d"], 1))
            line.wait_for(Answer)
        thief.say(Publish(2, Send("c", b"x")))
        receipt = holder.wait_for(Delivered).delivery.receipt
        thief.say(Commit(1, receipt, Ending.DONE, [Send("stolen", b"x")]), Release(1, [receipt]))
        thief.say(PublishDuring(1, receipt, 5, Send("r!1", b"x")))
        while (answer := thief.wait_for(Answer)).token != 5:
            pass
        assert answer.error
        assert answer.error[0] == "DeliveryLost"
        assert hub.layer.statistics().committed == 0
        holder.say(Commit(1, receipt, Ending.DONE, []), Commit(1, receipt, Ending.DONE, [Send("twice", b"x")]), Ping())
        holder.wait_for(Pong)
        assert hub.layer.statistics().committed == 1
        assert "twice" not in hub.layer.statistics().channels


def test_releases_go_back_in_order(hub: HubThread) -> None:
    with RawLine(hub.path) as line:
        line.say(Open(1, 1, ["c"], 3), *(Publish(2, Send("c", bytes([number]))) for number in range(3)))
        receipts = [line.wait_for(Delivered).delivery.receipt for _ in range(3)]
        line.say(Demand(1, 2), Release(1, receipts), Demand(1, 1))
        found = [line.wait_for(Delivered).delivery for _ in range(3)]
        assert [delivery.body for delivery in found] == [b"\0", b"\1", b"\2"]
        assert [delivery.envelope.attempt for delivery in found] == [1, 1, 1]


def test_what_is_ahead_of_the_threads_waits_behind_an_idle_thread_elsewhere(hub: HubThread) -> None:
    with RawLine(hub.path) as wide, RawLine(hub.path) as other:
        wide.say(Open(1, 1, ["c"], 1, 1), Demand(1, 5, 5), Publish(2, Send("c", b"0")))
        assert wide.wait_for(Delivered).delivery.body == b"0"
        other.say(Open(1, 1, ["c"], 1, 1), Publish(2, Send("c", b"1")), Publish(3, Send("c", b"2")))
        assert other.wait_for(Delivered).delivery.body == b"1"
        assert wide.wait_for(Delivered).delivery.body == b"2"


def test_flush_takes_deliveries_back(hub: HubThread) -> None:
    with RawLine(hub.path) as line, RawLine(hub.path, versions=(1, 1)) as old:
        for each, channel in ((line, "c"), (old, "d")):
            each.say(Open(1, 1, [channel], 1), Publish(2, Send(channel, b"x")))
            each.wait_for(Delivered)
        line.say(Call(3, "flush"), Publish(4, Send("c", b"y")))
        assert line.wait_for(Recalled).reader == 1
        assert line.wait_for(Delivered).delivery.body == b"y"
        old.say(Publish(4, Send("d", b"y")))
        assert old.wait_for(Delivered).delivery.body == b"y"


def test_a_layer_that_is_closed_ends_all_lines(hub: HubThread) -> None:
    with RawLine(hub.path) as line:
        line.say(Open(1, 1, ["c"], 1))
        line.wait_for(Answer)
        hub.layer.close()
        assert line.end()[-1] == Refusal("the layer is closed")


def test_a_reader_that_is_opened_again_is_the_same(hub: HubThread) -> None:
    with RawLine(hub.path) as line:
        for token in (1, 2):
            line.say(Open(1, token, ["c"], 1))
            assert line.wait_for(Answer) == Answer(token)
        assert hub.layer.statistics().sessions == 1


def test_a_session_with_a_channel_that_is_none(hub: HubThread) -> None:
    """It is refused; the line goes on."""
    with RawLine(hub.path) as line:
        line.say(Open(1, 1, ["no\nname"], 1))
        answer = line.wait_for(Answer)
        assert answer.error
        assert answer.error[0] == "InvalidName"
        line.say(Open(1, 2, ["c"], 1))
        assert line.wait_for(Answer) == Answer(2)


def test_owners_hear_that_a_session_is_paused_or_gone(hub: HubThread) -> None:
    with RawLine(hub.path) as owner, RawLine(hub.path) as line:
        owner.say(Own(1, ["s!"]))
        assert owner.wait_for(Readers) == Readers([])
        line.say(Open(1, 1, ["c"], 1))
        assert owner.wait_for(Readers) == Readers(["c"])
        line.say(Pause(1, 2))
        assert owner.wait_for(Readers) == Readers([])
        line.say(Open(2, 3, ["d"], 1))
        assert owner.wait_for(Readers) == Readers(["d"])
        line.close()
        assert owner.wait_for(Readers) == Readers([])


def test_what_a_session_held_is_delivered_to_others(hub: HubThread) -> None:
    with RawLine(hub.path) as line, RawLine(hub.path) as other:
        line.say(Open(1, 1, ["c"], 1), Publish(2, Send("c", b"x")))
        line.wait_for(Delivered)
        line.say(Shut(1))
        other.say(Open(1, 1, ["c"], 1))
        assert other.wait_for(Delivered).delivery.envelope.attempt == 2
