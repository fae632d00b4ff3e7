"""What the decorators can stand on."""

import pytest

from fairway import Message
from fairway.consumers import BaseConsumer
from fairway.security.targets import guard_class, message_of

MESSAGE = Message({}, "a", None)


class Consumer:
    message = MESSAGE


@pytest.mark.parametrize("args", [(MESSAGE,), (Consumer(), MESSAGE), (object(), MESSAGE, 5), (Consumer(), "text")])
def test_where_the_message_is(args):
    assert message_of(args, "x") is MESSAGE


@pytest.mark.parametrize(("args", "what"), [((), "nothing"), ((5, "a", MESSAGE), "int, str, Message")])
def test_a_call_without_one(args, what):
    with pytest.raises(TypeError, match=f"a_decorator stands on a consumer.*with {what}"):
        message_of(args, "a_decorator")


def test_a_guard_stands_before_a_class_and_those_that_derive_from_it_and_no_other():
    class Base(BaseConsumer):
        pass

    class One(Base):
        pass

    class Below(One):
        pass

    guard_class(One, len, "x")
    guard_class(One, repr, "x")
    assert (Base.guards, One.guards, Below.guards) == ((), (len, repr), (len, repr))
