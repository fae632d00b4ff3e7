"""Connection state: a dict that travels packed."""

import pytest

from fairway.errors import InvalidMessage, MessageTooLarge
from fairway.layers.codec import pack_value
from fairway.worker.state import ConnectionState


def state_of(**values):
    return ConnectionState("c!1", {key: pack_value(value, key) for key, value in values.items()})


def test_it_is_a_dict():
    state = state_of(name="Ada", seats=[1, 2])

    assert state["name"] == "Ada"
    assert dict(state) == {"name": "Ada", "seats": [1, 2]}
    assert len(state) == 2
    assert "name" in state
    assert state.get("other") is None
    assert state.pop("name") == "Ada"
    assert "name" not in state
    with pytest.raises(KeyError):
        del state["name"]


def test_looking_changes_nothing():
    state = state_of(name="Ada", seats=[1, 2], nothing=None)
    assert list(state.values())

    assert state.changes() == {}


def test_changes_are_packed_per_key():
    state = state_of(name="Ada", gone=1, same=2)
    state["name"] = "Grace"
    state["same"] = 2
    state["new"] = b"\x00"
    del state["gone"]

    assert state.changes() == {"name": pack_value("Grace", ""), "new": pack_value(b"\x00", ""), "gone": None}


def test_a_key_that_came_and_went_is_no_change():
    state = state_of()
    state["new"] = 1
    del state["new"]

    assert state.changes() == {}


def test_a_list_changed_in_place_is_noticed():
    state = state_of(seats=[1], by_room={"a": []})
    state["seats"].append(2)
    state["by_room"]["a"].append("Ada")

    assert state.changes() == {"seats": pack_value([1, 2], ""), "by_room": pack_value({"a": ["Ada"]}, "")}


def test_packed_is_the_whole_as_it_stands():
    state = state_of(seats=[1], name="Ada")
    state["seats"].append(2)

    assert state.packed() == {"seats": pack_value([1, 2], ""), "name": pack_value("Ada", "")}


def test_what_cannot_travel_is_refused_where_it_is_set():
    state = state_of()

    with pytest.raises(InvalidMessage, match="'room'"):
        state["room"] = object()
    with pytest.raises(TypeError, match="are str, not int"):
        state[1] = 1
    assert state.changes() == {}


def test_what_became_unable_to_travel_is_refused_at_the_end():
    state = state_of(seats=[])
    state["seats"].append({1, 2})

    with pytest.raises(InvalidMessage, match="seats"):
        state.changes()


def test_all_state_together_is_bounded():
    state = ConnectionState("c!1", {"a": b"12345"}, limit=20)
    state["b"] = "x"

    with pytest.raises(MessageTooLarge, match="while 'c' was set"):
        state["c"] = "x" * 20
    with pytest.raises(MessageTooLarge, match="while 'b' was set"):
        state["b"] = "x" * 20
    assert set(state) == {"a", "b"}
    assert state["b"] == "x"


def test_values_are_not_shown():
    assert repr(state_of(token="secret")) == "<ConnectionState of token>"
    assert repr(state_of()) == "<ConnectionState of nothing>"
