"""Which channels a worker reads."""

import pytest
from django.core.management.base import CommandError

from fairway.management.selection import select_channels, split_patterns

CHANNELS = ["websocket.receive", "websocket.connect", "http.request", "thumbnails"]


def test_patterns_may_be_repeated_and_have_commas():
    assert split_patterns(["a, b*", "c", ","]) == ["a", "b*", "c"]
    assert split_patterns(None) == []


@pytest.mark.parametrize(
    ("only", "exclude", "selected"),
    [
        ([], [], sorted(CHANNELS)),
        (["websocket.*"], [], ["websocket.connect", "websocket.receive"]),
        (["thumbnails", "http.*"], [], ["http.request", "thumbnails"]),
        ([], ["websocket.*", "http.request"], ["thumbnails"]),
        (["websocket.*"], ["*.connect"], ["websocket.receive"]),
        (["[ht]*"], ["h?tp.request"], ["thumbnails"]),
    ],
)
def test_what_is_selected(only, exclude, selected):
    assert select_channels(CHANNELS, only, exclude) == selected


def test_case_matters():
    with pytest.raises(CommandError):
        select_channels(CHANNELS, only=["Thumbnails"])


@pytest.mark.parametrize(("option", "argument"), [("--only-channels", "only"), ("--exclude-channels", "exclude")])
def test_a_pattern_that_matches_nothing_is_an_error_that_lists_the_channels(option, argument):
    with pytest.raises(CommandError) as error:
        select_channels(CHANNELS, **{argument: ["http.*", "thumb"]})
    assert str(error.value) == (
        f"{option} 'thumb' matches no channel; "
        "the routing has http.request, thumbnails, websocket.connect, websocket.receive"
    )


def test_nothing_left_is_an_error():
    with pytest.raises(CommandError, match="leave no channel to read"):
        select_channels(CHANNELS, ["thumb*"], ["*nails"])
