"""When a delay server has something to do next."""

from datetime import UTC, datetime, timedelta

import pytest

from fairway.delay.agenda import Agenda
from fairway.delay.limits import DelayLimits

NOON = datetime(2030, 6, 1, 12, tzinfo=UTC)
LIMITS = DelayLimits(look=5, longest_wait=1, others_pause=0.2)


def later(seconds):
    return NOON + timedelta(seconds=seconds)


@pytest.fixture
def agenda():
    agenda = Agenda(LIMITS)
    agenda.set(None, 100)
    return agenda


def test_at_first_the_table_is_asked():
    agenda = Agenda(LIMITS)
    assert agenda.must_look(0)
    assert not agenda.is_due(NOON, 0)
    assert agenda.wait(NOON, 0) == 0


def test_while_nothing_waits_the_clock_is_looked_at_now_and_then_and_the_table_less_often(agenda):
    assert agenda.wait(NOON, 100) == 1
    assert agenda.wait(NOON, 104.75) == 0.25
    assert [agenda.must_look(now) for now in (104.9, 105)] == [False, True]


def test_the_wait_ends_when_the_next_is_due(agenda):
    agenda.note(later(0.25))
    assert not agenda.is_due(NOON, 100)
    assert agenda.wait(NOON, 100) == 0.25
    assert agenda.is_due(later(0.25), 100.25)
    assert agenda.wait(later(0.5), 100.5) == 0


def test_the_earliest_counts(agenda):
    for seconds in (3, 0.5, 2):
        agenda.note(later(seconds))
    assert agenda.next_due == later(0.5)


def test_what_the_table_says_takes_the_place_of_what_was_noted(agenda):
    agenda.note(later(0.5))
    agenda.set(later(2), 101)
    assert agenda.next_due == later(2)
    assert not agenda.must_look(105)


def test_a_clock_that_is_set_makes_it_due(agenda):
    agenda.note(later(3600))
    assert agenda.wait(NOON, 100) == 1
    assert agenda.is_due(later(3600), 101)


def test_what_others_hold_is_left_to_them_for_a_moment(agenda):
    agenda.note(NOON)
    agenda.hold(100)
    assert not agenda.is_due(NOON, 100.1)
    assert agenda.wait(NOON, 100.125) == pytest.approx(0.075)
    assert agenda.is_due(NOON, 100.2)


def test_a_channel_that_was_left_alone_is_a_reason_to_ask(agenda):
    agenda.look_at(100.5)
    agenda.look_at(103)
    assert agenda.wait(NOON, 100) == 0.5
    assert agenda.must_look(100.5)


def test_what_is_forgotten_is_asked_for(agenda):
    agenda.forget()
    assert agenda.must_look(100)
