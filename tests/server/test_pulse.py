"""Each time of an open WebSocket, by a number for the clock."""

import pytest

from fairway.limits import UNLIMITED, WebSocketLimits
from fairway.server.pulse import Pulse, Verdict

LIMITS = WebSocketLimits(ping_interval=20, ping_timeout=10, stall=5, message_time=30, lifetime=100)
START = 1000.0


def look(pulse, after, *, unsent=0, is_read=True, limits=LIMITS):
    return pulse.look(limits, START + after, unsent, is_read=is_read)


def test_an_idle_socket_is_pinged_once_and_cut_when_nothing_comes():
    pulse = Pulse(START)
    assert look(pulse, 19) is Verdict.ALIVE
    assert look(pulse, 20) is Verdict.IDLE
    pulse.note_ping(START + 20)
    assert look(pulse, 29) is Verdict.ALIVE
    assert look(pulse, 30) is Verdict.DEAD


def test_any_byte_answers_a_ping():
    pulse = Pulse(START)
    pulse.note_ping(START + 20)
    pulse.seen = START + 25
    assert look(pulse, 40) is Verdict.ALIVE
    assert look(pulse, 45) is Verdict.IDLE


def test_a_socket_that_is_not_read_is_not_pinged():
    pulse = Pulse(START)
    assert look(pulse, 60, is_read=False) is Verdict.ALIVE
    assert look(pulse, 79) is Verdict.ALIVE
    assert look(pulse, 80) is Verdict.IDLE


def test_a_client_that_takes_nothing_is_slow():
    pulse = Pulse(START)
    pulse.stall(START, 300)
    assert look(pulse, 4, unsent=300) is Verdict.ALIVE
    assert look(pulse, 5, unsent=300) is Verdict.SLOW


def test_a_client_that_takes_a_little_stays():
    pulse = Pulse(START)
    pulse.stall(START, 300)
    assert look(pulse, 4, unsent=200) is Verdict.ALIVE
    pulse.note_backlog(START + 8, 150, 400)
    assert look(pulse, 12, unsent=400) is Verdict.ALIVE
    assert look(pulse, 13, unsent=400) is Verdict.SLOW
    pulse.recover()
    assert not pulse.is_stalled
    assert look(pulse, 14, unsent=400) is Verdict.ALIVE


def test_an_unfinished_message_has_its_time():
    pulse = Pulse(START)
    pulse.note_message(START + 1, is_unfinished=True)
    pulse.note_message(START + 9, is_unfinished=True)
    pulse.seen = START + 30
    assert look(pulse, 30) is Verdict.ALIVE
    assert look(pulse, 31) is Verdict.UNFINISHED
    pulse.note_finished()
    assert look(pulse, 31) is Verdict.ALIVE


def test_a_socket_grows_old():
    pulse = Pulse(START)
    pulse.seen = START + 100
    assert look(pulse, 100) is Verdict.OLD


def test_patience_is_the_shortest_time_that_runs():
    pulse = Pulse(START)
    assert pulse.patience(LIMITS, START) == 20
    pulse.stall(START, 1)
    assert pulse.patience(LIMITS, START + 1) == 4
    pulse.note_ping(START)
    pulse.recover()
    assert pulse.patience(LIMITS, START + 1) == 9


@pytest.mark.parametrize("after", [0, 1e9])
def test_without_limits_nothing_ever_is_over(after):
    limits = WebSocketLimits(
        ping_interval=UNLIMITED, ping_timeout=UNLIMITED, stall=UNLIMITED, message_time=UNLIMITED, lifetime=UNLIMITED
    )
    pulse = Pulse(START)
    pulse.stall(START, 1)
    pulse.note_message(START, is_unfinished=True)
    assert look(pulse, after, unsent=1, limits=limits) is Verdict.ALIVE
    assert pulse.patience(limits, START) == UNLIMITED
