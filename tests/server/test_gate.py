"""The gate: numbering, the window, and the accounts of what waits, against a naive model."""

from hypothesis import given
from hypothesis import strategies as st

from fairway.server.gate import Gate, Kind


def test_a_new_gate_lets_the_connect_out_and_then_nothing():
    gate = Gate()
    assert gate.open
    assert gate.number() == 0
    assert not gate.open
    gate.finish(0)
    assert gate.open


def test_what_waits_keeps_its_place_even_when_the_gate_opens():
    gate = Gate()
    gate.number()
    gate.wait(Kind.TEXT, "a")
    gate.finish(0)
    assert not gate.open
    assert gate.next() == (Kind.TEXT, "a")
    gate.number()
    assert gate.next() is None


def test_done_is_cumulative_and_never_goes_back():
    gate = Gate()
    gate.window = 5
    for _ in range(5):
        gate.number()
    gate.finish(3)
    gate.finish(1)
    assert gate.done == 3


def test_a_done_for_what_never_went_out_is_ignored():
    gate = Gate()
    gate.number()
    gate.finish(7)
    assert gate.done == -1


def test_dropping_forgets_what_waits_and_nothing_else():
    gate = Gate()
    gate.number()
    gate.wait(Kind.EVENT, b"x")
    gate.drop()
    assert (len(gate), gate.size, gate.events, gate.sent, gate.done) == (0, 0, 0, 0, -1)
    gate.finish(0)
    assert gate.next() is None


def test_an_idle_gate_keeps_no_queue():
    gate = Gate()
    gate.number()
    gate.wait(Kind.BYTES, b"x")
    gate.finish(0)
    gate.next()
    assert gate.waiting is None


PAYLOADS = {Kind.TEXT: st.text(), Kind.BYTES: st.binary(), Kind.EVENT: st.binary(), Kind.DISCONNECT: st.integers()}
MESSAGES = st.sampled_from(list(Kind)).flatmap(lambda kind: st.tuples(st.just(kind), PAYLOADS[kind]))


@given(st.lists(MESSAGES | st.just("done")), st.integers(1, 4))
def test_against_a_list(steps, window):
    gate, model, out = Gate(), [], []
    gate.window = window
    for step in steps:
        if step == "done":
            gate.finish(gate.done + 1)
        else:
            gate.wait(*step)
            model.append(step)
        while (waiting := gate.next()) is not None:
            gate.number()
            out.append(waiting)
        assert gate.sent - gate.done <= window
        rest = model[len(out) :]
        assert len(gate) == len(rest)
        assert gate.size == sum(0 if isinstance(payload, int) else len(payload) for _, payload in rest)
        assert gate.events == sum(kind is Kind.EVENT for kind, _ in rest)
    assert out == model[: len(out)]
