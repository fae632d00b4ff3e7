"""The table of states is whole: each is reached, each is left but the last, and from each there is a way to the end."""

from typing import get_args

from fairway.client.machine import TRANSITIONS, Happening, State


def test_every_state_and_happening_is_in_the_table():
    assert set(TRANSITIONS) == set(get_args(State))
    assert {happening for row in TRANSITIONS.values() for happening in row} == set(get_args(Happening))
    assert {state for row in TRANSITIONS.values() for state in row.values()} == set(get_args(State)) - {"new"}


def test_each_state_can_be_closed_and_closed_is_the_end():
    assert {state: row.get("close") for state, row in TRANSITIONS.items() if state != "closed"} == {
        "new": "closed",
        "connecting": "closed",
        "open": "closed",
        "waiting": "closed",
    }
    assert TRANSITIONS["closed"] == {}


def test_a_connection_is_opened_only_while_there_is_a_try():
    assert [state for state, row in TRANSITIONS.items() if "open" in row.values()] == ["connecting"]
