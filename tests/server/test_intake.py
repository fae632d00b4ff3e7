"""What is parsed of what a client sends, and what is set aside."""

from fairway.limits import WebSocketLimits
from fairway.server.gate import Gate, Kind
from fairway.server.intake import SLICE, Intake
from fairway.wire.events import TextReceived

LIMITS = WebSocketLimits(read_ahead=4)
FRAME = b"\x81\x81\x00\x00\x00\x00x"
"""A masked text message of one character."""


def taken(events, gate):
    """Let each event wait at the gate, as a stream does whose consumer is busy."""
    found = []
    for event in events:
        assert event == TextReceived("x")
        gate.wait(Kind.TEXT, event.text)
        found.append(event)
    return found


def test_a_small_read_is_parsed_at_once():
    gate = Gate()
    intake = Intake(LIMITS, gate, b"", deflate=False)
    assert len(taken(intake.take(FRAME * 3), gate)) == 3
    assert not intake.is_ahead


def test_a_large_read_of_small_frames_is_parsed_only_as_far_as_may_be():
    gate = Gate()
    gate.number()
    intake = Intake(LIMITS, gate, b"", deflate=False)
    total = 5 * SLICE // len(FRAME)
    first = taken(intake.take(FRAME * total), gate)
    assert 0 < len(first) <= SLICE // len(FRAME) + 1
    assert intake.is_ahead
    assert taken(intake.take(FRAME), gate) == []
    assert len(first) + len(taken(intake.read_rest(), gate)) == total + 1


def test_what_came_early_is_read_first():
    gate = Gate()
    intake = Intake(LIMITS, gate, FRAME, deflate=False)
    assert len(taken(intake.read_on(), gate)) == 1
    assert list(intake.read_on()) == []


def test_a_message_of_which_a_part_has_come_is_unfinished():
    intake = Intake(LIMITS, Gate(), b"", deflate=False)
    assert list(intake.take(FRAME[:-1])) == []
    assert intake.is_unfinished
    assert list(intake.take(FRAME[-1:])) == [TextReceived("x")]
    assert not intake.is_unfinished
