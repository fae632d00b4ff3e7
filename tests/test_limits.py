"""Limits are frozen, have reasons, and agree with one another and with the architecture."""

import ast
import dataclasses
import inspect

import pytest

from fairway import limits
from fairway.limits import (
    DEFAULT_RULES,
    UNLIMITED,
    BrokerLimits,
    ChannelRule,
    MessageLimits,
    ServerLimits,
    WorkerLimits,
)

RECORDS = [kind for _, kind in inspect.getmembers(limits, dataclasses.is_dataclass)]
MIB = 1024 * 1024


@pytest.mark.parametrize("record", RECORDS, ids=lambda kind: kind.__name__)
def test_records_are_frozen_and_made_by_name(record):
    made = record()
    field = dataclasses.fields(made)[0]
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(made, field.name, 1)
    with pytest.raises(TypeError):
        record(1)
    assert dataclasses.replace(made) == made
    assert not hasattr(made, "__dict__")


@pytest.mark.parametrize("record", RECORDS, ids=lambda kind: kind.__name__)
def test_numbers_are_positive_or_unlimited(record):
    for field in dataclasses.fields(record()):
        value = getattr(record(), field.name)
        if isinstance(value, int | float) and not isinstance(value, bool):
            assert value > 0 or value == UNLIMITED, field.name


def test_the_reason_stands_beside_each_limit():
    """Nearly each: a pair shares one text, and nested records and tables explain themselves."""
    silent = []
    for node in ast.parse(inspect.getsource(limits)).body:
        if isinstance(node, ast.ClassDef):
            for first, second in zip(node.body, [*node.body[1:], None], strict=True):
                if isinstance(first, ast.AnnAssign) and not isinstance(second, ast.Expr):
                    silent.append(f"{node.name}.{first.target.id}")
    assert set(silent) <= {
        "BrokerLimits.rules",
        "RateLimits.connects_burst",
        "ServerLimits.http",
        "ServerLimits.websocket",
        "ServerLimits.rates",
        "ServerLimits.message",
    }


def test_the_numbers_of_the_architecture():
    broker = BrokerLimits()
    assert (broker.total, broker.commit_wait, broker.repeat_memory, broker.requeues) == (256 * MIB, 2.0, 600.0, 10)
    assert broker.requeue_pause == 0.05
    assert MessageLimits().body >= MIB
    assert WorkerLimits().window == 8
    assert WorkerLimits().coroutines == 100
    websocket = ServerLimits().websocket
    assert (websocket.read_ahead, websocket.events, websocket.held) == (16, 100, 16)


def test_what_goes_together_fits_together():
    broker, message, server = BrokerLimits(), MessageLimits(), ServerLimits()
    assert message.state < message.body < broker.dead_letter_bytes < broker.total
    assert broker.unread_per_connection < broker.inbox < broker.total
    assert message.body < message.outbox < broker.total
    assert server.http.body_chunk < server.http.body_window < broker.inbox
    rules = dict(DEFAULT_RULES)
    assert rules["websocket.connect"].expiry >= server.websocket.connect_timeout
    assert rules["http.request"].expiry >= server.http.answer_timeout
    assert rules["http.request.body?*"].expiry > rules["http.request"].expiry
    assert list(rules)[-1] == "*"


def test_only_requests_are_begun_once():
    assert [pattern for pattern, rule in DEFAULT_RULES if rule.begun_once] == ["http.request"]
    assert ChannelRule().expiry == UNLIMITED
