"""Tickets: where they go, and what they say."""

from datetime import timedelta

import pytest
from django.utils import timezone

from fairway import Message
from fairway.errors import InvalidMessage, InvalidName
from fairway.layers.codec import decode_message
from fairway.tasks.tickets import Ticket, channel_of, channels_of, due_by, make_ticket, read_ticket, send_ticket

HOUR = timedelta(hours=1)
TICKET = Ticket("default", "mail")


def test_each_queue_has_a_channel():
    assert channel_of("mail", {"mail", "default"}) == "tasks.mail"
    assert channels_of({"mail", "default"}) == ["tasks.default", "tasks.mail"]


def test_queues_that_nobody_lists_share_one():
    assert channel_of("any at all", set()) == "tasks"
    assert channels_of(set()) == ["tasks"]


@pytest.mark.parametrize("queue", ["a b", "é", "", "a!b!c", "x" * 94])
def test_a_queue_that_makes_no_channel(queue):
    if queue:
        with pytest.raises(InvalidName):
            channel_of(queue, {queue})
    else:
        assert channel_of(queue, {queue}) == "tasks."


def test_a_ticket_arrives_and_is_read(channel_client, channel_layer):
    send_ticket(make_ticket(TICKET, "tasks.mail", channel_layer), channel_layer)
    message = channel_client.get_next_message("tasks.mail")
    assert message.content == {"backend": "default", "queue": "mail", "due": ""}
    assert read_ticket(message) == TICKET


def test_a_ticket_for_later_goes_to_the_delay_server_and_says_when_it_is_due(channel_layer):
    at = timezone.now() + HOUR
    effect = make_ticket(TICKET, "tasks.mail", channel_layer, at)
    assert effect.channel == "asgi.delay"
    content = decode_message(effect.body)
    assert content["channel"] == "tasks.mail"
    assert content["content"] == {"backend": "default", "queue": "mail", "due": at.isoformat()}
    assert 0 < content["delay"] <= 3_600_000


@pytest.mark.parametrize("content", [{}, {"queue": "x"}, {"backend": "x"}, {"backend": 1, "queue": "x"}])
@pytest.mark.parametrize("more", [{}, {"due": ""}, {"due": 5}])
def test_what_is_no_ticket(content, more):
    with pytest.raises(InvalidMessage, match="a ticket has the texts 'backend' and 'queue'"):
        read_ticket(Message({**content, **more}, "tasks.x", None))


def test_what_the_delay_server_has_sent_is_due_whatever_the_clock_says():
    ahead = timezone.now() + HOUR
    assert due_by(TICKET._replace(due=ahead.isoformat())) == ahead
    assert due_by(TICKET._replace(due=(ahead - 2 * HOUR).isoformat())) > ahead - HOUR
    assert due_by(TICKET) <= timezone.now()


@pytest.mark.parametrize("due", ["soon", "2026-01-01T00:00:00"])
def test_what_is_no_moment(due):
    with pytest.raises(InvalidMessage, match="is due at a moment in ISO 8601"):
        due_by(TICKET._replace(due=due))
