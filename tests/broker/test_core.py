import ast
from pathlib import Path

import pytest

import fairway.broker
from fairway.broker.core import TICK
from fairway.broker.effects import (
    Abandoned,
    Credit,
    Done,
    Ending,
    Envelope,
    Frame,
    Grant,
    GroupFrame,
    GroupSend,
    Policy,
    Refused,
    SaveState,
    Send,
    State,
)
from fairway.broker.inbox import Mark
from fairway.errors import ChannelFull, ChannelGone, DeliveryLost
from fairway.limits import ChannelRule
from tests.support.brokers import Desk


@pytest.mark.parametrize("path", sorted(Path(fairway.broker.__file__).parent.glob("*.py")), ids=lambda path: path.name)
def test_the_broker_is_pure(path):
    """No event loop, no socket, no thread, no clock: time is a number that somebody passes in."""
    imported = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            imported |= {name.name.partition(".")[0] for name in node.names}
        elif isinstance(node, ast.ImportFrom):
            imported.add((node.module or "").partition(".")[0])
    assert not imported & {"asyncio", "socket", "ssl", "threading", "time", "selectors", "os", "logging", "datetime"}


# --- commit -----------------------------------------------------------------------------------------------------------


def consumed(desk, **submit):
    """An owner, a session, and a message of connection s1!c1 that it is consuming."""
    owner = desk.owner()
    desk.submit(owner, **submit)
    session = desk.session(submit.get("channel", "w"), demand=1)
    desk.taken()
    return owner, session, desk.delivered[session][-1]


def test_a_commit_publishes_in_order_and_says_done():
    desk = Desk()
    owner, session, delivery = consumed(desk, order=3)
    desk.do(desk.owners.add, "g", "s1!c1")
    desk.drain(owner)
    outbox = [Send("s1!c1", b"1"), SaveState("s1!c1", {"k": None}), GroupSend("g", b"2", typed=True), Grant("s1!c1", 9)]
    desk.commit(session, delivery, *outbox, Send("gone!a", b"x"), Grant("gone!a", 1), Send("b", b"3"))
    assert desk.drain(owner) == [
        Frame("s1!c1", b"1"),
        State("s1!c1", {"k": None}),
        GroupFrame("g", b"2", typed=True, id="s1.3.2"),
        Credit("s1!c1", 9),
        Done("s1!c1", 3),
    ]
    letter = desk.take(desk.session("b"))
    assert (letter.body, letter.envelope.id) == (b"3", "s1.3.6")
    assert desk.post.held == 1


def test_an_effect_with_an_id_keeps_it():
    desk = Desk()
    _, session, delivery = consumed(desk)
    desk.commit(session, delivery, Send("b", b"x", id="mine"))
    assert desk.take(desk.session("b")).envelope.id == "mine"


def test_a_message_for_nobody_says_done_to_nobody():
    desk = Desk()
    owner, session, delivery = consumed(desk)
    desk.do(desk.owners.close, owner)
    desk.commit(session, delivery)
    assert desk.taken() == []
    assert desk.post.held == 0


def test_an_effect_without_room_waits_and_is_buried_alone():
    desk = Desk(("b", ChannelRule(capacity=1)), commit_wait=2.0)
    _, session, delivery = consumed(desk)
    desk.commit(session, delivery, Send("b", b"1"), Send("b", b"2"), Send("b", b"3"), Send("c", b"4"), now=10)
    assert desk.broker.due == 12
    reader = desk.session("b")
    assert desk.take(reader).body == b"1"
    desk.tick(12)
    assert desk.mislaid() == ["full"]
    assert [dead.body for dead in desk.post.dead] == [b"3"]
    assert desk.take(reader).body == b"2"
    assert (desk.post.crowd, desk.post.held) == (0, 3)


def test_an_effect_that_cannot_even_wait_is_buried_at_once():
    desk = Desk(("b", ChannelRule(capacity=0)), total=10)
    _, session, delivery = consumed(desk)
    desk.commit(session, delivery, Send("b", bytes(10)), Send("b", b"no"), Send("s1!c1", b"yes"))
    assert desk.mislaid() == ["full"]
    assert (desk.post.crowd, desk.post.held) == (10, 13)
    assert "b" in desk.post.boxes()


# --- ConsumeLater -----------------------------------------------------------------------------------------------------


def test_later_doubles_its_pause_up_to_a_limit():
    desk = Desk(requeues=3, requeue_pause=1.0)
    owner, session, delivery = consumed(desk, order=5)
    now, pauses = 0.0, []
    for _ in range(3):
        desk.commit(session, delivery, Send("s1!c1", b"x"), ending=Ending.LATER, now=now)
        assert desk.take(session) is None
        pauses.append(desk.broker.due - now)
        now = desk.broker.due
        desk.tick(now)
        delivery = desk.take(session)
    assert pauses == [1, 2, 4]
    assert (delivery.envelope.retries, delivery.envelope.attempt) == (3, 1)
    desk.commit(session, delivery, ending=Ending.LATER, now=now)
    assert desk.mislaid() == ["retries"]
    assert [type(item).__name__ for item in desk.drain(owner)] == ["Frame"] * 3 + ["Abandoned"]
    assert desk.post.held == 0


def test_effects_of_each_run_have_their_own_ids():
    desk = Desk()
    _, session, delivery = consumed(desk)
    desk.commit(session, delivery, Send("b", b"1"), Send("b", b"2"), ending=Ending.LATER)
    desk.tick(1)
    again = desk.take(session)
    desk.commit(session, again, Send("b", b"3"))
    reader = desk.session("b", demand=9)
    effect = desk.delivered[reader][1]
    desk.commit(reader, effect, Send("c", b"4"))
    ids = [one.envelope.id for one in [*desk.delivered[reader], desk.take(desk.session("c"))]]
    assert len(set(ids)) == 4


def test_the_next_run_sees_the_state_that_was_saved():
    desk = Desk()
    _, session, delivery = consumed(desk)
    assert delivery.envelope.state is None
    desk.commit(session, delivery, SaveState("s1!c1", {"a": b"1", "b": None}), ending=Ending.LATER)
    desk.tick(1)
    assert desk.take(session).envelope.state == {"a": b"1"}
    assert delivery.envelope.state is None


def test_several_that_are_due_at_once_come_back_in_their_order():
    desk = Desk()
    session = desk.session("a", demand=3)
    for body in (b"1", b"2", b"3"):
        desk.send("a", body)
    for delivery in list(desk.delivered[session]):
        desk.commit(session, delivery, ending=Ending.LATER)
    desk.delivered.clear()
    desk.tick(5)
    desk.demand(session, 3, now=5)
    assert desk.bodies(session) == [b"1", b"2", b"3"]


def test_what_comes_back_to_a_process_that_is_gone_is_lost():
    desk = Desk()
    session = desk.session("view!", demand=1)
    desk.send("view!1")
    desk.commit(session, desk.delivered[session][0], ending=Ending.LATER)
    desk.do(desk.broker.close_session, session, 0)
    desk.tick(1)
    assert desk.mislaid() == ["lost"]
    assert (desk.post.held, desk.post.boxes()) == (0, {})


# --- time and submits -------------------------------------------------------------------------------------------------


def test_ticks_are_at_least_a_moment_apart():
    desk = Desk(("a", ChannelRule(capacity=0)))
    for value in range(100):
        desk.send("a", deadline=1 + value / 1e6)
    ticks = 0
    while desk.broker.due is not None:
        desk.tick(desk.broker.due)
        ticks += 1
    assert ticks == 2
    assert desk.post.held == 0
    assert TICK < 0.05


def test_a_submit_without_room_is_refused():
    desk = Desk(("w", ChannelRule(capacity=1)))
    owner = desk.owner()
    for order in (0, 1):
        desk.submit(owner, order=order)
    desk.submit(owner, "view!1", order=2)
    assert desk.drain(owner) == [Refused("s1!c1", 1, "w", "capacity"), Refused("s1!c1", 2, "view!1", "gone")]


# --- publishing from inside a run -------------------------------------------------------------------------------------


def during(desk, session, delivery, effect, deadline=None):
    return desk.do(desk.broker.publish_during, session, delivery, effect, 0, deadline)


def test_the_first_answer_makes_a_message_once():
    desk = Desk(("w", ChannelRule(begun_once=True)))
    owner, session, delivery = consumed(desk)
    during(desk, session, delivery, Send("s1!other", b"x"))
    assert delivery.envelope.policy is Policy.AGAIN
    desk.do(desk.owners.mark, owner, "s1!c1", Mark.CONGESTED)
    with pytest.raises(ChannelFull):
        during(desk, session, delivery, Send("s1!c1", b"x"))
    assert delivery.envelope.policy is Policy.AGAIN
    assert during(desk, session, delivery, Send("s1!c1", b"x"), 5)
    assert delivery.envelope.policy is Policy.ONCE


def test_a_lost_delivery_answers_nobody():
    desk = Desk()
    _, session, delivery = consumed(desk)
    desk.do(desk.broker.release, session, delivery.receipt)
    with pytest.raises(DeliveryLost):
        during(desk, session, delivery, Send("s1!c1", b"x"))
    assert during(desk, session, delivery, Send("b", b"x")) == 0
    with pytest.raises(DeliveryLost):
        during(desk, 99, delivery, Send("s1!c1", b"x"))


def test_a_connection_that_ended_is_noticed():
    desk = Desk()
    owner, session, delivery = consumed(desk)
    desk.do(desk.owners.mark, owner, "s1!c1", Mark.DEPARTED)
    with pytest.raises(ChannelGone):
        during(desk, session, delivery, Send("s1!c1", b"x"))
    desk.do(desk.owners.mark, owner, "s1!c1", None)
    assert during(desk, session, delivery, Send("s1!c1", b"x")) == 0
    desk.do(desk.owners.close, owner)
    with pytest.raises(ChannelGone):
        during(desk, session, delivery, Send("s1!c1", b"x"))


# --- the end ----------------------------------------------------------------------------------------------------------


def test_flush_drops_everything_and_releases_everybody():
    desk = Desk(("a", ChannelRule(capacity=1)))
    owner, session, delivery = consumed(desk)
    desk.do(desk.owners.add, "g", "s1!c1")
    desk.send("a", name="one")
    desk.do(desk.owners.mark, owner, "s1!c1", Mark.CONGESTED)
    tokens = [desk.send("a", deadline=5), desk.send("s1!c1", deadline=5)]
    other = desk.session("w2", demand=1)
    desk.send("w2")
    desk.commit(other, desk.delivered[other][0], ending=Ending.LATER)
    desk.taken()
    desk.do(desk.broker.flush)
    assert desk.settled() == dict.fromkeys(tokens, "")
    with pytest.raises(DeliveryLost):
        desk.commit(session, delivery)
    desk.tick(99)
    assert (desk.post.held, desk.post.crowd, len(desk.owners.directory), desk.broker.due) == (0, 0, 0, None)
    assert desk.drain(owner) == []
    desk.send("a", name="one")
    assert desk.take(desk.session("a")).envelope.id == "one"
    assert desk.broker.repeats_dropped == 0


# --- sent again by the owner ------------------------------------------------------------------------------------------


def again(desk, owner, order, channel="w", attempt=2):
    envelope = Envelope(f"s1.{order}", channel, "s1!c1", order, attempt)
    desk.do(desk.broker.submit, owner, envelope, b"x", 0)


def test_what_is_still_here_is_not_taken_again():
    """It waits, is leased, or was put off: its end reaches the owner that came back."""
    desk = Desk(requeue_pause=1.0)
    owner, session = desk.owner(), desk.session("w")
    for order in range(3):
        desk.submit(owner, order=order)
    put_off, leased = desk.take(session), desk.take(session)
    desk.commit(session, put_off, ending=Ending.LATER)
    owner = desk.owner()
    for order in range(3):
        again(desk, owner, order)
    assert desk.broker.repeats_dropped == 3
    desk.commit(session, leased)
    desk.commit(session, desk.take(session))
    desk.tick(1.0)
    desk.commit(session, desk.take(session))
    assert desk.drain(owner) == [Done("s1!c1", order) for order in (1, 2, 0)]
    assert (desk.take(session), desk.post.held) == (None, 0)


def test_what_is_gone_is_taken_again_with_its_attempts():
    """A message whose `Done` was lost with the line, or that a new broker has never seen, is consumed."""
    desk = Desk(("w", ChannelRule(attempts=3)))
    owner, session = desk.owner(), desk.session("w")
    desk.submit(owner)
    desk.commit(session, desk.take(session))
    owner = desk.owner()
    again(desk, owner, 0)
    again(desk, owner, 1, attempt=3)
    assert [desk.take(session).envelope.attempt for _ in range(2)] == [2, 3]
    desk.do(desk.broker.close_session, session, 5.0)
    assert desk.drain(owner) == [Abandoned("s1!c1", 1, "attempts", 3)]
    assert [(dead.envelope.id, dead.since) for dead in desk.post.dead] == [("s1.1", 5.0)]
    assert desk.take(desk.session("w")).envelope.attempt == 3


def test_attempts_alone_make_no_dead_letter():
    """A broker that comes and goes is not the message's fault."""
    desk = Desk(("w", ChannelRule(attempts=1)))
    again(desk, desk.owner(), 0, attempt=9)
    assert desk.take(desk.session("w")).envelope.attempt == 9


def test_the_messages_of_others_are_no_repeats():
    desk = Desk()
    other = desk.owner("s2!")
    desk.do(desk.broker.submit, other, Envelope("s1.0", "w", "s2!c1", 0), b"x", 0)
    again(desk, desk.owner(), 0)
    assert (desk.broker.repeats_dropped, desk.post.boxes()["w"].size) == (0, 2)


def test_a_closed_owner_submits_nothing():
    """The last words of a line that another has replaced."""
    desk = Desk()
    old, new = desk.owner(), desk.owner()
    desk.submit(old)
    assert (desk.post.held, desk.drain(new)) == (0, [])


# --- dead letters -----------------------------------------------------------------------------------------------------


def bury(desk, *names):
    session = desk.session("w", demand=len(names))
    for name in names:
        desk.send("w", name.encode(), name=name)
    desk.do(desk.broker.close_session, session, 7.0)
    desk.taken()


def test_a_dead_letter_comes_back_with_a_new_history():
    desk = Desk(("w", ChannelRule(attempts=1, expiry=5)))
    owner = desk.owner()
    session = desk.session("w", demand=1)
    desk.submit(owner)
    desk.do(desk.broker.close_session, session, 7.0)
    assert desk.drain(owner) == [Abandoned("s1!c1", 0, "attempts", 1)]
    assert desk.do(desk.broker.requeue_dead, ["s1.0", "unknown"]) == 1
    assert (len(desk.post.dead), desk.post.held) == (0, 1)
    session = desk.session("w")
    envelope = (delivery := desk.take(session, now=1e9)).envelope
    assert (envelope.id, envelope.reply_channel, envelope.attempt, envelope.expires) == ("s1.0", "s1!c1", 1, None)
    desk.commit(session, delivery)
    assert (desk.drain(owner), desk.post.held) == ([], 0)


def test_dead_letters_go_to_the_end_in_their_order():
    desk = Desk(("w", ChannelRule(attempts=1)))
    bury(desk, "1", "2", "3")
    desk.send("w", b"4")
    assert desk.do(desk.broker.requeue_dead, ["3", "1"]) == 2
    session = desk.session("w", demand=9)
    assert desk.bodies(session) == [b"4", b"1", b"3"]


def test_a_waiting_reader_gets_it_at_once():
    desk = Desk(("w", ChannelRule(attempts=1)))
    bury(desk, "1")
    session = desk.session("w", demand=1)
    assert desk.do(desk.broker.requeue_dead, ["1"]) == 1
    assert desk.bodies(session) == [b"1"]


def test_a_dead_letter_without_room_stays():
    desk = Desk(("w", ChannelRule(attempts=1, capacity=1)), total=5)
    bury(desk, "1", "2")
    assert desk.do(desk.broker.requeue_dead, ["1", "2"]) == 1
    assert [dead.envelope.id for dead in desk.post.dead] == ["2"]
    desk.send("other", b"12345")
    session = desk.session("w", demand=1)
    assert (desk.bodies(session), desk.do(desk.broker.requeue_dead, ["2"])) == ([b"1"], 0)
    assert desk.do(desk.broker.drop_dead, ["2", "unknown"]) == 1
    assert (len(desk.post.dead), desk.post.dead.size) == (0, 0)


def test_a_dead_letter_whose_only_reader_is_gone_stays():
    desk = Desk(("view!", ChannelRule(attempts=1)))
    session = desk.session("view!", demand=1)
    desk.send("view!1", name="1")
    desk.do(desk.broker.close_session, session, 0)
    assert desk.do(desk.broker.requeue_dead, ["1"]) == 0
    assert len(desk.post.dead) == 1
