from fairway.broker.effects import Envelope
from fairway.broker.mailbox import Mailbox
from fairway.broker.sessions import Session, Sessions
from fairway.limits import ChannelRule
from tests.support.memory import deep_counts


def session(number=1, *channels, demand=0):
    channels = channels or ("a",)
    one = Session(number, channels, [Mailbox(ChannelRule()) for _ in channels])
    one.demand = demand
    return one


def test_mailboxes_take_turns():
    one = session(1, "a", "b", "c")
    assert one.next_box() is None
    for box, bodies in zip(one._boxes, ["aaa", "", "ccc"], strict=True):
        for body in bodies:
            box.put((Envelope(body, "c"), body))
    assert [one.next_box().take()[1] for _ in range(6)] == list("acacac")
    assert one.next_box() is None


def test_idle_readers_of_a_channel_take_turns():
    sessions = Sessions()
    for number, channels, demand in ((1, ("a",), 1), (2, ("a", "b"), 1), (3, ("a",), 0), (4, ("b",), 1)):
        sessions.open(session(number, *channels, demand=demand))
    assert [sessions.idle_reader("a").id for _ in range(4)] == [1, 2, 1, 2]
    assert {sessions.idle_reader("b").id for _ in range(2)} == {2, 4}
    assert sessions.idle_reader("c") is None
    sessions.pause(1)
    sessions.pause(99)
    assert {sessions.idle_reader("a").id for _ in range(3)} == {2}


def test_an_idle_thread_goes_before_a_window():
    sessions = Sessions()
    for number, demand, reserve in ((1, 6, 6), (2, 7, 6), (3, 1, 0), (4, 6, 6)):
        one = session(number, demand=demand)
        one.reserve = reserve
        sessions.open(one)
    assert [sessions.idle_reader("a").id for _ in range(4)] == [2, 3, 2, 3]
    sessions.close(2)
    sessions.close(3)
    assert [sessions.idle_reader("a").id for _ in range(4)] == [1, 4, 1, 4]
    for number in (1, 4):
        sessions[number].demand = 0
    assert sessions.idle_reader("a") is None


def test_without_an_idle_thread_the_least_loaded_session_comes_first():
    sessions = Sessions()
    for number, demand in ((1, 2), (2, 6), (3, 4)):
        one = session(number, demand=demand)
        one.reserve = 7
        sessions.open(one)
    assert [one.slack for one in sessions] == [-5, -1, -3]
    found = []
    while one := sessions.idle_reader("a"):
        one.demand -= 1
        found.append(one.id)
    assert found[:3] == [2, 2, 3]
    assert sorted(found) == [1] * 2 + [2] * 6 + [3] * 4
    assert set(found[-6:]) == {1, 2, 3}


def test_a_paused_session_reads_nothing():
    sessions = Sessions()
    for number in (1, 2):
        sessions.open(session(number, "a"))
    assert (sessions.has_reader("a"), sessions.has_reader("b")) == (True, False)
    sessions.pause(1)
    assert sessions.has_reader("a")
    sessions.pause(2)
    sessions.pause(2)
    assert not sessions.has_reader("a")
    assert [sessions.close(number).id for number in (1, 2)] == [1, 2]
    assert deep_counts(sessions) == deep_counts(Sessions())


def test_closing_twice_and_leaving_no_trace():
    sessions = Sessions()
    sessions.open(session(1, "a", "b"))
    sessions.open(session(2, "a"))
    assert [one.id for one in sessions] == [1, 2]
    assert sessions.close(1).id == 1
    assert sessions.close(1) is None
    assert sessions.get(1) is None
    sessions.close(2)
    assert len(sessions) == 0
    assert deep_counts(sessions) == deep_counts(Sessions())
