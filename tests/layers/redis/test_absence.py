"""What is known of a Redis that is away: told once, and tried more and more seldom where it breaks what it takes."""

from types import SimpleNamespace

import pytest

from fairway.errors import LayerUnavailable
from fairway.layers.redis import absence as absence_module
from fairway.layers.redis.absence import Absence
from tests.layers.redis.owners import warnings


class Time:
    """A clock of the test's own."""

    def __init__(self) -> None:
        self.now = 100.0


@pytest.fixture
def time(monkeypatch: pytest.MonkeyPatch) -> Time:
    made = Time()
    monkeypatch.setattr(absence_module, "time", SimpleNamespace(monotonic=lambda: made.now))
    return made


def test_it_is_missed_since_it_was_missed_first(time: Time) -> None:
    absence = Absence("x")
    absence.failed("away")
    time.now = 107.0
    absence.failed("still away")
    assert (absence.since, absence.failure) == (100.0, "still away")
    absence.made()
    assert (absence.since, absence.failure) == (107.0, "")


def test_it_is_told_once(time: Time, caplog: pytest.LogCaptureFixture) -> None:
    absence = Absence("x")
    absence.made()
    time.now = 110.0
    assert absence.lost("broken")
    absence.failed("away")
    absence.made()
    absence.look_whether_it_lasts()
    assert warnings(caplog) == ["Redis at x is back"]


def test_connections_that_do_not_last_are_no_news(time: Time, caplog: pytest.LogCaptureFixture) -> None:
    """And Redis is back once they have lasted."""
    absence = Absence("x")
    absence.made()
    assert absence.lost("broken")
    for _ in range(3):
        absence.made()
        assert not absence.lost("broken")
    absence.made()
    absence.look_whether_it_lasts()
    assert warnings(caplog) == []
    time.now += 5.1
    absence.look_whether_it_lasts()
    absence.look_whether_it_lasts()
    assert warnings(caplog) == ["Redis at x is back"]
    assert absence.lost("broken again")


def test_it_is_tried_more_and_more_seldom_where_connections_break_at_once(time: Time) -> None:
    absence = Absence("x")
    absence.check()
    pauses = []
    for _ in range(7):
        absence.made()
        absence.lost("broken")
        before = time.now
        while True:
            try:
                absence.check()
            except LayerUnavailable as error:
                assert str(error) == "broken"  # noqa: PT017
                time.now += 0.01
            else:
                break
        pauses.append(round(time.now - before, 1))
    assert pauses == [0.0, 0.1, 0.2, 0.3, 0.6, 1.0, 1.0]
