from fairway.broker.groups import Directory
from tests.support.memory import deep_counts


def test_members_have_the_generation_of_their_latest_add():
    directory = Directory()
    first, second = directory.add("g", "a"), directory.add("g", "b")
    assert first < second
    assert directory.members("g") == {"a": first, "b": second}
    assert directory.add("g", "a") > second
    assert directory.members("nobody") == {}
    assert len(directory) == 1


def test_a_leave_that_an_add_has_overtaken_is_void():
    directory = Directory()
    old = directory.add("g", "a")
    new = directory.add("g", "a")
    assert not directory.remove("g", "a", old)
    assert directory.remove("g", "a", new)
    assert not directory.remove("g", "a", new)
    assert not directory.remove("g", "a")
    assert not directory.remove("nobody", "a")


def test_what_is_forgotten_leaves_no_trace():
    directory = Directory()
    for group in ("g", "h"):
        for member in ("a", "v!1", "v!2", "s!"):
            directory.add(group, member)
    directory.forget("a")
    directory.forget("a")
    directory.forget_below("v!")
    assert set(directory.members("g")) == {"s!"}
    directory.forget("s!")
    assert deep_counts(directory) == deep_counts(Directory())


def test_generations_go_on_after_clear():
    directory = Directory()
    old = directory.add("g", "a")
    directory.clear()
    assert len(directory) == 0
    directory.add("g", "a")
    assert not directory.remove("g", "a", old)
