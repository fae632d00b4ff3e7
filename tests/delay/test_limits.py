"""The limits of a delay server."""

from fairway.delay.limits import DelayLimits
from fairway.limits import BrokerLimits


def test_a_trace_stays_as_long_as_a_broker_remembers_an_id():
    assert DelayLimits().tombstone == BrokerLimits().repeat_memory


def test_the_clock_is_looked_at_more_often_than_the_table():
    limits = DelayLimits()
    assert limits.longest_wait < limits.look
