"""Channels that nobody reads are told about once, after a while."""

from fairway.layers.hub.unread import MOST_NAMED, PATIENCE, UnreadChannels


def test_a_channel_is_told_once_and_only_after_a_while() -> None:
    unread = UnreadChannels()
    assert unread.look({"http.request": 1}, 100.0) == ""
    assert unread.look({"http.request": 2, "work": 1}, 100.0 + PATIENCE - 0.1) == ""
    assert unread.look({"http.request": 3, "work": 1}, 100.0 + PATIENCE) == "http.request (3)"
    assert unread.look({"http.request": 4, "work": 1}, 101.0 + PATIENCE) == ""
    assert unread.look({"http.request": 4, "work": 1}, 100.0 + 2 * PATIENCE) == "work (1)"


def test_a_channel_that_was_read_meanwhile_is_told_again() -> None:
    unread = UnreadChannels()
    unread.look({"work": 1}, 0.0)
    assert unread.look({"work": 1}, PATIENCE) == "work (1)"
    assert unread.look({}, PATIENCE + 1) == ""
    assert unread.look({"work": 7}, PATIENCE + 2) == ""
    assert unread.look({"work": 7}, 2 * PATIENCE + 2) == "work (7)"


def test_many_channels_make_one_short_line() -> None:
    unread = UnreadChannels()
    waiting = {f"work.{number:02}": 1 for number in range(MOST_NAMED + 3)}
    unread.look(waiting, 0.0)
    assert unread.look(waiting, PATIENCE).endswith("work.09 (1) and 3 more channels")
