"""The table of the architecture, row by row."""

import pytest

from fairway.broker.effects import Ending, Envelope, Grant, GroupSend, SaveState, Send
from fairway.errors import ConsumeLater, DenyConnection
from fairway.layers.codec import decode_message
from fairway.worker.endings import TABLE, Kind, Outcome, closing_effects, outcome, row_for

OWN = "websocket.send.A!c1"
SENT = [Send("work", b"w"), Send(OWN, b"o"), GroupSend("all", b"g"), SaveState(OWN, {}), Grant(OWN, 1)]
BOTH = [SENT[0], SENT[2]]
APPLICATION_CHANNELS = ["websocket.receive", "websocket.event", "websocket.disconnect", "http.disconnect", "work"]


def end(channel, error, effects=SENT):
    row = row_for(channel, error)
    envelope = Envelope("m1", channel, OWN, order=0)
    return row, closing_effects(row, envelope, list(effects))


def test_the_table_has_a_row_for_each_kind_and_outcome():
    assert set(TABLE) == {(kind, how) for kind in Kind for how in Outcome}


@pytest.mark.parametrize("channel", ["websocket.connect", "http.request", *APPLICATION_CHANNELS])
def test_returns(channel):
    row, effects = end(channel, None)

    assert effects == SENT
    assert row.ending is Ending.DONE
    assert not row.is_failure


@pytest.mark.parametrize("channel", APPLICATION_CHANNELS)
@pytest.mark.parametrize("error", [ValueError(), DenyConnection(), SystemExit()])
def test_raises_elsewhere_than_in_connect(channel, error):
    row, effects = end(channel, error)

    assert effects == SENT
    assert row.ending is Ending.DONE
    assert row.is_failure


def test_raises_in_connect():
    row, effects = end("websocket.connect", ValueError())

    assert effects[:-1] == BOTH
    assert effects[-1].channel == OWN
    assert decode_message(effects[-1].body)["reject"]["status"] == 500
    assert row.ending is Ending.DONE
    assert row.is_failure


def test_deny_connection_in_connect():
    row, effects = end("websocket.connect", DenyConnection())

    assert effects[:-1] == BOTH
    assert decode_message(effects[-1].body) == {"reject": {"status": 403}}
    assert row.ending is Ending.DONE
    assert not row.is_failure


@pytest.mark.parametrize("channel", ["websocket.connect", "http.request", *APPLICATION_CHANNELS])
def test_consume_later(channel):
    row, effects = end(channel, ConsumeLater())

    assert effects == SENT
    assert row.ending is Ending.LATER
    assert not row.is_failure


def test_a_request_that_fails_gets_a_500_and_the_server_cuts_what_has_begun():
    row, effects = end("http.request", ValueError(), BOTH)

    assert effects[:-1] == BOTH
    assert decode_message(effects[-1].body)["status"] == 500
    assert row.is_failure


def test_without_a_reply_channel_nothing_is_answered():
    row = row_for("websocket.connect", ValueError())

    assert closing_effects(row, Envelope("m1", "websocket.connect"), SENT) == SENT


def test_a_subclass_of_a_decision_is_that_decision():
    class Refused(DenyConnection):
        pass

    assert outcome(Refused()) is Outcome.DENIED
