"""What the log is told, and how often."""

import pytest

from fairway.delay.limits import DelayLimits
from fairway.delay.reports import LateReport, Rhythm, tell_full


@pytest.fixture
def late():
    return LateReport(DelayLimits(late=1, report_every=60))


def test_a_rhythm_keeps_its_time():
    rhythm = Rhythm(60)
    assert [rhythm.is_time(now) for now in (0, 59, 60, 100, 121)] == [True, False, True, False, True]


def test_what_is_hardly_late_is_not_told(late, caplog):
    late.note(1, "reports")
    late.tell(0)
    assert caplog.messages == []


def test_what_is_late_is_told_once_in_a_while_and_summed_up(late, caplog):
    late.note(1.5, "a")
    late.tell(0)
    for seconds, channel in ((2, "b"), (9, "c"), (3, "d")):
        late.note(seconds, channel)
        late.tell(30)
    late.tell(60)
    late.tell(120)
    assert caplog.messages == [
        "1 delayed message left more than 1 s after its time; the latest, to 'a', 1.5 s",
        "3 delayed messages left more than 1 s after their time; the latest, to 'c', 9.0 s",
    ]


def test_at_the_end_the_rest_is_told(late, caplog):
    late.note(2, "a")
    late.tell(0)
    late.note(4, "b")
    late.tell_rest()
    late.tell_rest()
    assert caplog.messages[1:] == ["1 delayed message left more than 1 s after its time; the latest, to 'b', 4.0 s"]


def test_channels_without_room_are_named(caplog):
    tell_full([("a", 1234), ("b", 1)], 2)
    named = "'a' (1,234 delayed messages), 'b' (1 delayed message)"
    assert caplog.messages == [f"no room in {named}: what is due there waits until its consumers catch up"]


def test_of_many_channels_without_room_some_are_named(caplog):
    tell_full([("a", 2)], 4)
    assert caplog.messages == [
        "no room in 'a' (2 delayed messages) and 3 more channels: what is due there waits until its consumers catch up"
    ]
