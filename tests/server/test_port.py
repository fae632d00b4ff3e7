"""The port: a connection offers its stream all that the protocol names, and with the same parameters."""

import inspect

import pytest

from fairway.server.connection import Connection
from fairway.server.port import Port

METHODS = [name for name, value in vars(Port).items() if inspect.isfunction(value) and not name.startswith("_")]


@pytest.mark.parametrize("name", METHODS)
def test_a_connection_is_a_port(name):
    wanted, offered = getattr(Port, name), getattr(Connection, name)
    assert list(inspect.signature(offered).parameters) == list(inspect.signature(wanted).parameters)


def test_the_states_of_a_port_are_attributes_of_a_connection():
    assert {"reading_paused", "stopping"} <= set(Connection.__slots__)
