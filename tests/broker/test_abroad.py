"""Owners of a joined broker: who comes and goes is told, and so is which groups have members here."""

from fairway.broker.effects import Add, Announced
from fairway.broker.inbox import Mark
from fairway.broker.outward import Announcing, GroupCame, GroupLeft, Marked, OwnerCame, OwnerLeft
from tests.support.brokers import JoinedDesk


def test_owners_come_and_go():
    desk = JoinedDesk()
    owner = desk.owner("s1!", "s1web!")
    assert desk.outward() == [OwnerCame(owner, ("s1!", "s1web!"))]
    back = desk.owner("s1!")
    assert desk.outward() == [OwnerLeft(owner), OwnerCame(back, ("s1!",))]
    desk.do(desk.owners.close, back)
    desk.do(desk.owners.close, back)
    assert desk.outward() == [OwnerLeft(back)]
    assert list(desk.owners) == []


def test_a_group_is_told_of_with_its_first_member_and_its_last():
    desk = JoinedDesk()
    owner, other = desk.owner("s1!"), desk.owner("s2!")
    desk.outward()
    for channel in ("s1!a", "s1!b", "s2!c"):
        desk.do(desk.owners.add, "g", channel)
    assert desk.outward() == [GroupCame("g")]
    desk.do(desk.owners.leave, owner, "g", 1)
    generation = [item.generation for item in desk.drain(owner) if isinstance(item, Add)][-1]
    desk.do(desk.owners.leave, owner, "g", generation)
    assert desk.outward() == []
    assert list(desk.owners.directory) == ["g"]
    desk.do(desk.owners.close, other)
    assert desk.outward() == [OwnerLeft(other), GroupLeft("g")]


def test_an_owner_that_is_back_is_told_of_its_groups_when_the_upstream_knows_them():
    desk = JoinedDesk()
    owner = desk.owner()
    desk.outward()
    desk.do(desk.owners.announce, owner, ["g", "h"])
    desk.do(desk.owners.announce, 99, ["other"])
    assert desk.outward() == [GroupCame("g"), GroupCame("h"), Announcing(owner, ("g", "h"))]
    assert desk.drain(owner) == []
    desk.do(desk.owners.tell_announced, owner, ("g", "h"))
    assert desk.outward() == []
    told = [item for item in desk.drain(owner) if isinstance(item, Announced)]
    assert [item.group for item in told] == ["g", "h"]
    desk.do(desk.owners.leave, owner, "g", told[0].generation)
    assert desk.outward() == [GroupLeft("g")]


def test_the_directory_knows_nobody_but_owners():
    desk = JoinedDesk()
    desk.session("view!")
    for channel in ("numbers", "view!1", "gone!1"):
        desk.do(desk.owners.add, "g", channel)
    assert list(desk.owners.directory) == []


def test_an_emptied_directory_has_left_all_groups():
    desk = JoinedDesk()
    desk.owner()
    desk.do(desk.owners.add, "g", "s1!a")
    desk.outward()
    desk.do(desk.broker.flush)
    assert desk.outward() == [GroupLeft("g")]


def test_a_slow_client_concerns_senders_elsewhere_and_one_that_is_gone_only_those_who_answer_it():
    desk = JoinedDesk()
    owner = desk.owner()
    desk.outward()
    for mark in (Mark.CONGESTED, None, Mark.DEPARTED, None):
        desk.do(desk.owners.mark, owner, "s1!a", mark)
    assert desk.outward() == [Marked(owner, "s1!a", Mark.CONGESTED), Marked(owner, "s1!a", None)]
    desk.owners.outside[owner] = {"s1!a"}
    desk.do(desk.owners.mark, owner, "s1!a", Mark.DEPARTED)
    assert desk.outward() == [Marked(owner, "s1!a", Mark.DEPARTED)]
    desk.do(desk.owners.mark, 999, "s1!a", Mark.DEPARTED)
    assert desk.outward() == []
