import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairway.errors import InvalidName
from fairway.names import (
    DEAD_LETTERS,
    check_channel,
    check_group,
    check_not_reserved,
    check_prefix,
    check_readable,
    new_channel,
    owner_prefix,
    random_part,
)

ALPHABET = string.ascii_letters + string.digits + "-_."
parts = st.text(ALPHABET, min_size=1, max_size=40)

GOOD = ["http.request", "http.response!ab0def", "0.a_b-c?d_e-f.1", "name!", "a", "a" * 99, "-", "a!-", DEAD_LETTERS]
BAD = [
    *("", "a" * 100, "a?b?c", "a!b!c", "a?b!c", "a!b?c", "name?", "?", "!", "?a", "!a", "a b", "a+b", "£", "é"),
    *("a\n", "\na", "a\0", "a?é", "a!é", "a!\n", "a/b", "a:b", "١"),  # noqa: RUF001  a digit, but not of ASCII
    *(None, 1, b"a", ["a"], ("a",), frozenset()),
]


@pytest.mark.parametrize("name", GOOD)
def test_good_channels(name):
    assert check_channel(name) == name


@pytest.mark.parametrize("name", BAD, ids=repr)
def test_bad_channels(name):
    for check in (check_channel, check_readable):
        with pytest.raises(InvalidName) as caught:
            check(name)
        assert isinstance(caught.value, TypeError)


@given(parts, st.sampled_from(["", "!", "?"]), parts)
def test_all_names_of_the_grammar_are_good_up_to_their_length(head, kind, tail):
    name = head + (kind + tail if kind else "")
    if len(name) < 100:
        assert check_channel(name) == name
    assert owner_prefix(name) == (f"{head}!" if kind == "!" else "")


@given(st.text(max_size=20))
def test_no_other_text_is_a_channel(name):
    try:
        check_channel(name)
    except InvalidName as error:
        assert repr(name)[:50] in str(error)  # noqa: PT017  both ways out are looked at
    else:
        assert set(name) <= set(ALPHABET + "!?")
        assert name.count("!") + name.count("?") <= 1


def test_one_connection_cannot_be_read():
    assert check_readable("s1!") == "s1!"
    assert check_readable("body?x") == "body?x"
    with pytest.raises(InvalidName, match="read its owner's prefix 's1!'"):
        check_readable("s1!c1")


@pytest.mark.parametrize("name", ["a", "room 1", "é!?\n", "x" * 200])
def test_good_groups(name):
    assert check_group(name) == name


@pytest.mark.parametrize("name", ["", "x" * 201, None, 1, b"a", []], ids=repr)
def test_bad_groups(name):
    with pytest.raises(InvalidName):
        check_group(name)


def test_the_reserved_part_of_the_name_space():
    for name in ("fairwayx", "a.fairway.b", "fairway"):
        assert check_not_reserved(name, "group") == name
    with pytest.raises(InvalidName, match=r"group names that start with 'fairway\.'"):
        check_not_reserved("fairway.mine", "group")
    assert DEAD_LETTERS.startswith("fairway.")


def test_new_channels_are_fresh_single_reader_names():
    names = {new_channel("http.request.body?") for _ in range(100)}
    assert len(names) == 100
    assert all(check_readable(name).startswith("http.request.body?") for name in names)
    assert len(random_part()) == 16
    for wrong in ("a", "a!", "a?b", "", "?", None, "a b?", "a" * 98 + "?"):
        with pytest.raises(InvalidName):
            new_channel(wrong)


def test_a_long_wrong_name_makes_no_long_error():
    with pytest.raises(InvalidName) as caught:
        check_channel("x" * 1_000_000)
    assert len(str(caught.value)) < 400


def test_a_prefix_ends_in_an_exclamation_mark():
    assert check_prefix("websocket.send.A1!") == "websocket.send.A1!"
    for name in ("s1", "s1?x", "s1!c1", "!", "", None):
        with pytest.raises(InvalidName):
            check_prefix(name)
