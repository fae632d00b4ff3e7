from hypothesis import given
from hypothesis import strategies as st

from fairway.broker.repeats import Repeats


def test_an_id_is_known_for_the_whole_time_and_forgotten_within_twice_that():
    repeats = Repeats(10.0, 100)
    assert not repeats.seen("a", 0)
    assert repeats.seen("a", 9.9)
    assert repeats.seen("a", 10.0)
    assert not repeats.seen("b", 19.9)
    assert not repeats.seen("a", 20.0)


def test_after_a_long_pause_nothing_is_known():
    repeats = Repeats(10.0, 100)
    repeats.seen("a", 0)
    assert not repeats.seen("a", 1000.0)


def test_forget_and_clear():
    repeats = Repeats(10.0, 100)
    for name in ("a", "b"):
        repeats.seen(name, 0)
    repeats.seen("c", 10.0)
    for name in ("a", "c", "never"):
        repeats.forget(name)
    assert [repeats.seen(name, 11.0) for name in ("a", "b", "c")] == [False, True, False]
    repeats.clear()
    assert not repeats.seen("b", 11.0)


@given(st.lists(st.tuples(st.integers(0, 30), st.floats(0, 3)), max_size=80))
def test_no_repeat_is_missed_and_memory_is_bounded(steps):
    """A set with times is the model: what it holds must be known, unless so many came in between."""
    repeats, count, now, seen = Repeats(10.0, 8), 8, 0.0, []
    for number, pause in steps:
        now += pause
        recent = [name for name, at in seen if now - at < 10.0][-count:]
        known = repeats.seen(str(number), now)
        assert known or str(number) not in recent
        assert not known or any(name == str(number) for name, _ in seen)
        if not known:
            seen.append((str(number), now))
        assert len(repeats._young) + len(repeats._old) <= 2 * count
