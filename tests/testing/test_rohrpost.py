"""The consumer that keeps what handlers send."""

import pytest

from fairway.rohrpost import build_message, send_message
from fairway.testing import RecordingConsumer
from fairway.testing.rohrpost import RecordingConsumer as Same


def test_it_keeps_what_is_sent_until_it_is_closed():
    consumer = RecordingConsumer()
    assert (consumer.data, consumer.closed) == ([], False)
    send_message(consumer=consumer, handler="a", message_id=1)
    consumer.close()
    send_message(consumer=consumer, handler="b", message_id=2)
    assert consumer.data == [build_message(handler="a", message_id=1)]
    assert consumer.closed is True


def test_it_takes_json_alone():
    with pytest.raises(ValueError, match="Expecting value"):
        RecordingConsumer().send("no JSON")


def test_it_is_closed_with_a_code_too():
    consumer = RecordingConsumer()
    consumer.close(4000, reason="enough")
    assert consumer.closed is True


def test_it_is_a_public_name():
    assert Same is RecordingConsumer
