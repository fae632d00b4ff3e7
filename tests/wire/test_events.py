"""`fairway.wire.events`: values that compare, cannot be changed, and cost the garbage collector nothing."""

import gc

import pytest

from fairway.wire.events import BytesReceived, TextReceived


def test_events_are_values():
    event = TextReceived("a")
    assert event == TextReceived("a")
    assert event != BytesReceived(b"a")
    with pytest.raises(AttributeError):
        event.text = "b"
    assert not gc.is_tracked(event)
