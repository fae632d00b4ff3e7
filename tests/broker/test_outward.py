"""What a joined broker asks for is a signal as any other: data, compared by value."""

from fairway.broker import outward
from fairway.broker.effects import Outward, Send
from fairway.broker.outward import Forward, GroupCame


def test_they_are_all_told_by_their_common_type():
    kinds = [kind for kind in vars(outward).values() if isinstance(kind, type) and issubclass(kind, Outward)]
    assert len(kinds) == 17
    assert isinstance(GroupCame("g"), Outward)


def test_nobody_waits_for_an_effect_unless_it_says_so():
    assert Forward(Send("a", b"x")) == Forward(Send("a", b"x"), token=0, deadline=0)
