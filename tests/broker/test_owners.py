import pytest

from fairway.broker.effects import (
    Add,
    Announced,
    Answered,
    Ask,
    Discard,
    Frame,
    OwnerGone,
    Readable,
    SaveState,
    Settled,
    State,
)
from fairway.broker.inbox import Mark
from fairway.errors import LayerUnavailable
from tests.support.brokers import Desk
from tests.support.memory import deep_counts


def test_readable_once_until_it_is_drained():
    desk = Desk()
    owner = desk.owner()
    for _ in range(3):
        desk.send("s1!a")
    assert desk.taken() == [Readable(owner)]
    assert desk.drain(owner) == [Frame("s1!a", b"x")] * 3
    desk.send("s1!a")
    assert desk.taken() == [Readable(owner)]


def test_an_owner_stands_in_a_group_once_whatever_its_prefixes():
    desk = Desk()
    owner = desk.owner("s1!", "s1web!")
    for channel in ("s1!a", "s1web!b"):
        desk.do(desk.owners.add, "g", channel)
    assert len(desk.owners.directory.members("g")) == 1
    adds = desk.drain(owner)
    desk.do(desk.owners.leave, owner, "g", adds[0].generation)
    assert len(desk.owners.directory) == 1
    desk.do(desk.owners.leave, owner, "g", adds[1].generation)
    assert len(desk.owners.directory) == 0


def test_adds_and_discards_go_to_whom_they_concern():
    desk = Desk()
    owner = desk.owner()
    desk.session("view!")
    for channel in ("s1!a", "gone!a", "normal", "view!1"):
        desk.do(desk.owners.add, "g", channel)
    assert set(desk.owners.directory.members("g")) == {"s1!", "normal", "view!1"}
    for channel in ("s1!a", "gone!a", "normal", "view!1"):
        desk.do(desk.owners.discard, "g", channel)
    assert set(desk.owners.directory.members("g")) == {"s1!"}
    assert desk.drain(owner) == [Add("g", "s1!a", 1), Discard("g", "s1!a")]


def test_closing_lets_everybody_go_and_leaves_no_trace():
    desk = Desk(unread_per_connection=1)
    owner = desk.owner("s1!", "s1web!")
    desk.do(desk.owners.add, "g", "s1web!a")
    desk.send("s1!a", b"unread")
    desk.do(desk.owners.mark, owner, "s1!b", Mark.CONGESTED)
    token = desk.send("s1!b", b"waiting", deadline=5)
    question = desk.do(desk.owners.ask_state, "s1!a")
    desk.taken()
    for _ in range(2):
        desk.do(desk.owners.close, owner)
    assert desk.taken() == [Settled(token, ""), Answered(question, None)]
    assert (desk.post.held, desk.post.crowd, len(desk.owners)) == (0, 0, 0)
    assert not desk.do(desk.broker.withdraw, "s1!b", token)
    desk.tick(5)
    fresh = Desk()
    assert deep_counts(desk.owners, frozenset({"_limits"})) == deep_counts(fresh.owners, frozenset({"_limits"}))
    assert deep_counts(desk.post, frozenset({"_limits"})) == deep_counts(fresh.post, frozenset({"_limits"}))


def test_commands_of_a_closed_owner_do_nothing():
    desk = Desk()
    owner = desk.owner()
    desk.do(desk.owners.close, owner)
    for command, *arguments in (
        (desk.owners.mark, owner, "s1!a", Mark.CONGESTED),
        (desk.owners.leave, owner, "g", 1),
        (desk.owners.answer, owner, 1, "late"),
        (desk.owners.close, owner),
    ):
        desk.do(command, *arguments)
    assert desk.drain(owner) == []
    desk.submit(owner, "p!1")
    assert desk.taken() == []
    assert desk.owners.by_number(owner) is None


def test_a_prefix_that_is_taken_over_stays_with_its_new_owner():
    desk = Desk()
    old = desk.owner("s1!", "s1web!")
    desk.do(desk.owners.add, "g", "s1!a")
    new = desk.owner("s1!", "s1web!", "s1!")
    desk.do(desk.owners.close, old)
    desk.send("s1web!a")
    assert desk.drain(new) == [Frame("s1web!a", b"x")]
    assert desk.owners.by_prefix("s1!").id == new
    assert len(desk.owners.directory) == 0
    desk.do(desk.owners.close, new)
    assert desk.owners.of("s1!a") is None


def test_channels_without_an_owner():
    desk = Desk()
    desk.owner()
    for channel in ("s1", "s1?a", "!", "!s1!a", "other!a"):
        assert desk.owners.of(channel) is None
    assert desk.owners.of("s1!") is desk.owners.of("s1!a")


def test_a_mark_taken_back_admits_who_waits_in_order():
    desk = Desk()
    owner = desk.owner()
    desk.do(desk.owners.mark, owner, "s1!a", Mark.CONGESTED)
    tokens = [desk.send("s1!a", bytes([value]), deadline=5) for value in range(3)]
    desk.do(desk.owners.mark, owner, "s1!b", Mark.CONGESTED)
    desk.taken()
    assert desk.drain(owner) == []
    desk.do(desk.owners.mark, owner, "s1!a", None)
    assert desk.taken() == [Readable(owner), *(Settled(token, "") for token in tokens)]
    assert [item.body for item in desk.drain(owner)] == [b"\0", b"\1", b"\2"]
    assert desk.owners.by_number(owner).marks == {"s1!b": Mark.CONGESTED}


def test_questions_are_answered_once_and_by_whom_they_were_put_to():
    desk = Desk()
    owner, other = desk.owner("s1!"), desk.owner("s2!")
    for channel in ("s1!a", "normal"):
        desk.do(desk.owners.add, "g", channel)
    found, [token] = desk.do(desk.owners.ask_members, "g")
    assert found == ["normal"]
    assert desk.drain(owner)[-1] == Ask(token, "members", "g")
    desk.taken()
    desk.do(desk.owners.answer, other, token, "not asked")
    desk.do(desk.owners.answer, owner, token, ["s1!a"])
    desk.do(desk.owners.answer, owner, token, ["twice"])
    assert desk.taken() == [Answered(token, ["s1!a"])]
    assert desk.do(desk.owners.ask_state, "gone!a") == 0
    assert desk.do(desk.owners.ask_members, "nobody") == ([], [])


def test_everybody_is_told_about_a_process_that_is_gone():
    desk = Desk()
    owners = [desk.owner("s1!"), desk.owner("s2!")]
    desk.do(desk.owners.tell_all_gone, "view!")
    assert [desk.drain(owner) for owner in owners] == [[OwnerGone("view!")]] * 2


def test_deadlines_of_those_who_wait():
    desk = Desk()
    owner = desk.owner()
    assert desk.owners.next_due() is None
    desk.do(desk.owners.mark, owner, "s1!a", Mark.CONGESTED)
    late, later = desk.send("s1!a", deadline=3), desk.send("s1!a", deadline=7)
    assert desk.owners.next_due() == 3
    desk.tick(3)
    assert desk.settled() == {late: "at capacity"}
    assert desk.broker.due == 7
    desk.tick(7)
    assert desk.settled() == {later: "at capacity"}
    assert (desk.broker.due, desk.post.held, desk.post.crowd) == (None, 0, 0)


# --- after a line was lost --------------------------------------------------------------------------------------------


def test_an_owner_that_announces_its_groups_gets_their_messages_again():
    desk = Desk()
    desk.do(desk.owners.add, "g", "s1!a")
    owner = desk.owner()
    desk.do(desk.owners.announce, owner, ["g", "other"])
    desk.do(desk.owners.announce, 99, ["g"])
    first, second = desk.drain(owner)
    assert [(item.group, type(item)) for item in (first, second)] == [("g", Announced), ("other", Announced)]
    desk.do(desk.owners.add, "g", "s1!a")
    desk.do(desk.owners.leave, owner, "g", first.generation)
    desk.do(desk.owners.leave, owner, "other", second.generation)
    assert desk.owners.directory.members("g").keys() == {"s1!"}
    assert len(desk.owners.directory) == 1


# --- an owner that does not read --------------------------------------------------------------------------------------


@pytest.mark.parametrize("limits", [{"inbox": 2}, {"inbox_items": 1}])
def test_an_owner_that_is_far_behind_is_given_nothing_that_can_be_refused(limits):
    desk = Desk(**limits)
    owner = desk.owner()
    desk.send("s1!a", b"xx")
    for command, args in [
        (desk.owners.add, ("g", "s1!a")),
        (desk.owners.discard, ("g", "s1!a")),
        (desk.owners.ask_state, ("s1!a",)),
    ]:
        with pytest.raises(LayerUnavailable, match=r"'s1!' has 1 items with 2 bytes unread.*inbox_items"):
            desk.do(command, *args)
    assert len(desk.owners.directory) == 0
    assert desk.drain(owner) == [Frame("s1!a", b"xx")]
    desk.do(desk.owners.add, "g", "s1!a")
    assert desk.drain(owner) == [Add("g", "s1!a", 1)]


def test_states_count_as_bodies_do():
    desk = Desk()
    owner = desk.owner()
    desk.publish(SaveState("s1!a", {"key": b"value", "gone": None}))
    assert desk.taken() == [Readable(owner)]
    assert desk.post.held == len("keyvaluegone")
    assert desk.drain(owner) == [State("s1!a", {"key": b"value", "gone": None})]
    assert desk.post.held == 0
