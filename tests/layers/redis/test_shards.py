"""Which shard has what."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st
from redis.crc import key_slot

from fairway.layers.redis.shards import ALIASES, ROOT, Shards

texts = st.text(min_size=1, max_size=50)


@given(texts, st.integers(1, 9))
def test_a_name_has_one_of_the_common_shards(name: str, count: int) -> None:
    shards = Shards("t", count)
    assert shards.spread(name) in shards.common
    assert Shards("other", count).spread(name) == shards.spread(name)


def test_one_shard_is_the_root() -> None:
    assert (Shards("t").common, Shards("t").spread("x")) == ([ROOT], ROOT)


def test_names_are_spread_evenly() -> None:
    shards = Shards("t", 4)
    found = Counter(shards.spread(f"group-{number}") for number in range(4_000))
    assert set(found) == set(shards.common)
    assert min(found.values()) > 800


def test_a_connection_is_in_the_shard_of_its_owner() -> None:
    shards = Shards("t", 4)
    assert (shards.of_channel("s1!c"), shards.of_channel("s1!")) == ("s1!", "s1!")
    assert shards.of_channel("numbers") == shards.spread("numbers")
    assert shards.of_channel("body?one") == shards.spread("body?one")
    shards.learn("s1web!c", "s1!")
    assert (shards.of_channel("s1web!d"), shards.of_channel("s2web!d")) == ("s1!", "s2web!")


def test_what_is_learnt_is_bounded() -> None:
    shards = Shards("t")
    for number in range(ALIASES + 1):
        shards.learn(f"p{number}!c", "s!")
    assert shards.of_channel("p0!c") == "p0!"
    assert shards.of_channel(f"p{ALIASES}!c") == "s!"


@given(texts)
def test_all_keys_of_a_shard_are_in_one_slot(name: str) -> None:
    shards = Shards("mysite")
    base = shards.base("s1!")
    assert shards.key("s1!", name) == f"{base}:{name}"
    assert key_slot(shards.key("s1!", name).encode()) == key_slot(base.encode())
