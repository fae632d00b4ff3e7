"""What is under way: kept until it is done, and sorted out when there is a broker again."""

from dataclasses import dataclass

from fairway.broker.effects import Abandoned, Envelope, Policy
from fairway.server.underway import after, chain, in_order, renew, without


@dataclass
class Connection:
    is_answering: bool = False


def message(order=0, attempt=1, policy=Policy.AGAIN, body=b"x"):
    return Envelope(f"s1!c.{order}", "w", "s1!c", order, attempt, policy), body


def renewed(*messages, stream=None):
    return renew({"s1!c": chain(messages)}, {"s1!c": stream} if stream else {})


def test_a_chain_keeps_the_order():
    messages = [message(order) for order in range(4)]
    entry = chain(messages)
    assert entry[0].order == 3
    assert in_order(entry) == messages
    assert in_order(after(entry, 1)) == messages[2:]
    assert in_order(without(entry, 1)) == [messages[0], *messages[2:]]
    assert (after(entry, 3), without(chain(messages[:1]), 0), chain([]), in_order(None)) == (None, None, None, [])


def test_a_message_is_sent_again_with_one_attempt_more():
    found = renewed(message(3), message(4, attempt=2), stream=Connection())
    assert found.again == [message(3, attempt=2), message(4, attempt=3)]
    assert in_order(found.kept["s1!c"]) == found.again
    assert (found.lost, found.forgotten) == ([], [])


def test_what_was_made_without_a_broker_is_sent_for_the_first_time():
    found = renewed(message(attempt=0), stream=Connection())
    assert found.again == [message(attempt=1)]


def test_what_may_run_once_is_lost_unless_no_broker_has_had_it():
    found = renewed(message(policy=Policy.ONCE), stream=Connection())
    assert (found.lost, found.again, found.kept) == ([Abandoned("s1!c", 0, "lost", 1)], [], {})
    found = renewed(message(attempt=0, policy=Policy.ONCE), stream=Connection())
    assert (found.lost, found.again) == ([], [message(policy=Policy.ONCE)])
    assert in_order(found.kept["s1!c"]) == [message(policy=Policy.ONCE, body=b"")]


def test_what_is_answered_or_gone_is_heard_until_the_second_loss():
    for stream in (Connection(is_answering=True), None):
        for policy in Policy:
            first = renewed(message(policy=policy), stream=stream)
            assert (first.again, first.lost, first.forgotten) == ([], [], [])
            assert in_order(first.kept["s1!c"]) == [message(attempt=2, policy=policy, body=b"")]
            second = renew(first.kept, {"s1!c": stream} if stream else {})
            assert (second.kept, second.again, second.lost, second.forgotten) == ({}, [], [], ["s1!c"])
