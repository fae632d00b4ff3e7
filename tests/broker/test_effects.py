"""The vocabulary travels: every effect, item and delivery survives the wire that a hub will use."""

import msgspec
import pytest

from fairway.broker import effects
from fairway.broker.effects import Effect, Envelope, Item, Policy
from fairway.limits import BrokerLimits


def one_of_each(union):
    values = {
        str: "s1!c1",
        bytes: b"x",
        int: 7,
        bool: True,
        dict[str, bytes] | None: {"k": b"v"},
        dict[str, bytes | None]: {"k": b"v", "gone": None},
    }
    return [kind(*[values[field.type] for field in msgspec.structs.fields(kind)]) for kind in union.__args__]


@pytest.mark.parametrize("union", [Effect, Item], ids=["effects", "items"])
def test_each_survives_the_wire_as_its_own_type(union):
    things = one_of_each(union)
    wire = msgspec.msgpack.encode(things)
    assert msgspec.msgpack.decode(wire, type=list[union]) == things
    assert len({type(thing) for thing in things}) == len(union.__args__)


@pytest.mark.parametrize("union", [Effect, Item], ids=["effects", "items"])
def test_a_receiver_ignores_fields_that_it_does_not_know(union):
    things = one_of_each(union)
    longer = [[*msgspec.to_builtins(thing, builtin_types=(bytes,)), "of a later version"] for thing in things]
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(longer), type=list[union]) == things
    wire = msgspec.msgpack.encode([["send", "c", b"x"]])
    assert msgspec.msgpack.decode(wire, type=list[Effect]) == [effects.Send("c", b"x")]


def test_an_envelope_survives_the_wire():
    envelope = Envelope("i", "c", "s1!c1", 4, 2, Policy.ONCE, 9.5, {"k": b"v"}, 1)
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(envelope), type=Envelope) == envelope


def test_an_envelope_expires_until_it_is_begun():
    envelope = Envelope("i", "c", expires=5.0)
    assert [envelope.is_expired(now) for now in (4.9, 5.0)] == [False, True]
    again = envelope.for_another_run(attempt=2, retries=1)
    assert (again.attempt, again.retries, again.expires) == (2, 1, None)
    assert (envelope.attempt, envelope.expires) == (1, 5.0)
    assert not again.is_expired(1e9)
    chunk = Envelope("i", "body?x", expires=5.0)
    assert chunk.for_another_run(attempt=2, retries=0).expires == 5.0


def test_the_run_of_an_envelope_names_its_effects():
    assert Envelope("m", "w").run_name() == "m"
    assert Envelope("m", "w", retries=2).run_name() == "m~2"


def test_a_job_that_sends_itself_on_for_ever_has_no_longer_id_each_time():
    name, seen = "m", set()
    for _ in range(1000):
        name = f"{Envelope(name, 'w', retries=3).run_name()}.7"
        seen.add(name)
    assert len(seen) == 1000
    assert max(map(len, seen)) <= effects.LONGEST_ID + 4


def test_how_a_message_comes_again():
    limits = BrokerLimits(requeues=3, requeue_pause=0.5)
    assert effects.terms_of(effects.Ending.LATER, 1, limits) == effects.Again(0.5, 3, "retries")
    assert effects.terms_of(effects.Ending.LATER, 3, limits) == effects.Again(2.0, 3, "retries")
    own = effects.Again(7, 1, "failed")
    assert effects.terms_of(own, 3, limits) is own


def test_signals_are_no_items():
    """What the broker tells its shell can never be read by a server, and the other way round."""
    assert not set(effects.Signal.__args__) & set(Item.__args__)
