"""The table of the architecture, row by row."""

import pytest

from fairway.broker.effects import Again, Ending, Envelope, Grant, GroupSend, SaveState, Send
from fairway.errors import ConsumeLater, DenyConnection
from fairway.layers.codec import decode_message
from fairway.worker.endings import TABLE, Kind, Outcome, closing_effects, conclude, outcome
from fairway.worker.retries import Retry

OWN = "websocket.send.A!c1"
SENT = [Send("work", b"w"), Send(OWN, b"o"), GroupSend("all", b"g"), SaveState(OWN, {}), Grant(OWN, 1)]
BOTH = [SENT[0], SENT[2]]
TWICE = Retry(2, on=(ValueError, TypeError))
APPLICATION_CHANNELS = ["websocket.receive", "websocket.event", "websocket.disconnect", "http.disconnect", "work"]


def end(channel, error, effects=SENT):
    envelope = Envelope("m1", channel, OWN, order=0)
    row, committed = conclude(envelope, error)
    assert committed is row.ending
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
    envelope = Envelope("m1", "websocket.connect")
    row, _ = conclude(envelope, ValueError())

    assert closing_effects(row, envelope, SENT) == SENT


def test_a_subclass_of_a_decision_is_that_decision():
    class Refused(DenyConnection):
        pass

    assert outcome(Refused()) is Outcome.DENIED


class TestWithRetry:
    """A consumer that is tried again has done nothing until it has done all."""

    def end(self, channel, error, retries, retry=TWICE):
        envelope = Envelope("m1", channel, OWN, order=0, retries=retries)
        row, committed = conclude(envelope, error, retry)
        return row, closing_effects(row, envelope, list(SENT)), committed

    @pytest.mark.parametrize("channel", ["websocket.connect", "http.request", *APPLICATION_CHANNELS])
    def test_a_failure_publishes_nothing_and_the_message_comes_again(self, channel):
        row, effects, committed = self.end(channel, ValueError("boom"), retries=1)

        assert effects == []
        assert not row.is_failure
        assert committed == Again(2.0, 2, "failed 2 times: ValueError: boom")

    @pytest.mark.parametrize("channel", APPLICATION_CHANNELS)
    def test_the_last_failure_publishes_nothing_either(self, channel):
        row, effects, committed = self.end(channel, ValueError("boom"), retries=2)

        assert effects == []
        assert row.is_failure
        assert (committed.limit, committed.reason) == (2, "failed 3 times: ValueError: boom")

    @pytest.mark.parametrize("channel", ["websocket.connect", "http.request"])
    def test_the_last_failure_gives_the_peer_the_answer_that_it_gets_without_retry(self, channel):
        row, effects, _ = self.end(channel, ValueError(), retries=2)
        without, _ = conclude(Envelope("m1", channel, OWN, order=0), ValueError())

        assert effects == [Send(OWN, without.answer)]
        assert row.is_failure

    @pytest.mark.parametrize("channel", ["websocket.connect", "http.request", *APPLICATION_CHANNELS])
    @pytest.mark.parametrize("error", [None, ConsumeLater(), DenyConnection(), SystemExit(), LookupError()])
    def test_what_it_does_not_cover_ends_as_without_it(self, channel, error):
        envelope = Envelope("m1", channel, OWN, order=0)

        assert conclude(envelope, error, TWICE) == conclude(envelope, error)

    def test_none_at_all_makes_a_dead_letter_of_the_first_failure(self):
        row, _, committed = self.end("work", ValueError(), 0, Retry(0))

        assert row.is_failure
        assert (committed.limit, committed.reason) == (0, "failed once: ValueError")
