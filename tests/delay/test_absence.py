"""Something that is away: two lines, and ever longer pauses between the tries."""

import logging

import pytest

from fairway.delay.absence import Absence
from fairway.delay.limits import DelayLimits

LIMITS = DelayLimits(first_pause=0.5, longest_pause=2)


@pytest.fixture
def absence(caplog):
    caplog.set_level(logging.INFO, "fairway.delay")
    return Absence("the database", LIMITS)


def test_the_pauses_grow_to_the_longest_and_begin_anew(absence):
    assert [absence.begin(OSError()) for _ in range(4)] == [0.5, 1, 2, 2]
    absence.end()
    assert absence.begin(OSError()) == 0.5


def test_one_line_tells_that_it_is_away_and_one_that_it_is_back(absence, caplog):
    absence.end()
    for _ in range(3):
        absence.begin(OSError("no\n  route"))
    absence.end()
    absence.end()
    assert caplog.messages == [
        "the database is away, and messages wait until it is back: no route",
        "the database is back after 0.0 s",
    ]


def test_an_error_without_words_is_named(absence, caplog):
    absence.begin(TimeoutError())
    assert caplog.messages[0].endswith(": TimeoutError")
