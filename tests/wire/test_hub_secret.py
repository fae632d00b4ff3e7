"""The mutual proof: right with the right secret, and with nothing else."""

import hashlib
import hmac

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairway.wire.hub_secret import NONCE, UNBOUND, Exchange, SecretUnusable, bind_to, parse_secrets

SECRET = "correct horse battery staple"
nonces = st.binary(min_size=NONCE, max_size=NONCE)
secrets = st.text(min_size=16, max_size=80, alphabet=st.characters(exclude_categories=("Cs", "Z", "C")))
bindings = st.binary(min_size=32, max_size=32)


def exchange(*bindings: bytes, asked: bytes = b"a" * NONCE, back: bytes = b"b" * NONCE) -> Exchange:
    return Exchange(asked, back, bindings or (UNBOUND,))


def test_a_proof_is_what_the_standard_says() -> None:
    expected = hmac.new(SECRET.encode(), b"fairway hub client" + b"a" * 32 + b"b" * 32 + bytes(32), hashlib.sha256)
    assert exchange().prove("client", SECRET) == expected.digest()


@given(nonces, nonces, secrets, bindings)
def test_each_side_finds_the_others_secret(asked: bytes, back: bytes, secret: str, binding: bytes) -> None:
    if asked == back:
        return
    here, there = Exchange(asked, back, [binding]), Exchange(asked, back, [binding])
    assert there.find("client", here.prove("client", secret), ["x" * 16, secret]) == (secret, binding)
    assert here.find("server", there.prove("server", secret), [secret]) == (secret, binding)


@given(st.binary(max_size=64), secrets)
def test_whatever_else_is_no_proof(proof: bytes, secret: str) -> None:
    right = exchange().prove("client", secret)
    assert exchange().find("client", proof, [secret]) is None or proof == right


@given(secrets, st.integers(0, 31), st.integers(1, 255))
def test_no_bit_of_it_may_differ(secret: str, place: int, change: int) -> None:
    proof = bytearray(exchange().prove("client", secret))
    proof[place] ^= change
    assert exchange().find("client", bytes(proof), [secret]) is None


@given(nonces, nonces, nonces)
def test_a_proof_is_of_no_use_a_second_time(asked: bytes, back: bytes, later: bytes) -> None:
    if len({asked, back, later}) == 3:
        proof = Exchange(asked, back).prove("client", SECRET)
        assert Exchange(asked, later).find("client", proof, [SECRET]) is None


def test_a_proof_that_is_sent_back_is_none() -> None:
    assert exchange().find("server", exchange().prove("client", SECRET), [SECRET]) is None


def test_a_proof_that_is_passed_on_is_none() -> None:
    """Who is in between has shown the client another certificate than the hub's."""
    hub, middle = bind_to(b"the hub's"), bind_to(b"another")
    assert exchange(hub).find("client", exchange(middle).prove("client", SECRET), [SECRET]) is None
    assert exchange(hub).find("client", exchange(UNBOUND).prove("client", SECRET), [SECRET]) is None


def test_a_renewed_certificate_and_the_one_before() -> None:
    new, old = bind_to(b"new"), bind_to(b"old")
    for bound in (new, old):
        assert exchange(new, old).find("client", exchange(bound).prove("client", SECRET), [SECRET]) == (SECRET, bound)
    assert exchange(new, old).prove("server", SECRET) == exchange(new).prove("server", SECRET)
    assert bind_to(b"") == UNBOUND


def test_two_secrets_while_rotating() -> None:
    new = "another secret, which is newer"
    for secret in (SECRET, new):
        proof = exchange().prove("client", secret)
        assert exchange().find("client", proof, [new, SECRET]) == (secret, UNBOUND)


@pytest.mark.parametrize(
    ("asked", "back"),
    [(b"", b"b" * NONCE), (b"a" * NONCE, b"short"), (b"a" * NONCE, b"a" * NONCE)],
    ids=["none", "short", "sent back"],
)
def test_nonces_that_are_none(asked: bytes, back: bytes) -> None:
    with pytest.raises(SecretUnusable):
        Exchange(asked, back)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"{SECRET}\n", (SECRET,)),
        (f"\n  {SECRET}\r\n\n{'n' * 16}\n", (SECRET, "n" * 16)),
        ("ü" * 8, ("ü" * 8,)),
    ],
    ids=["one line", "two lines", "16 bytes"],
)
def test_secrets_are_read(text: str, expected: tuple[str, ...]) -> None:
    assert parse_secrets(text) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (" \n", "holds no secret; write one line"),
        ("15 characters..", "has only 15 bytes in line 1, and 16 are the least"),
        (f"{SECRET}\nshort", "has only 5 bytes in line 2"),
        (f"{SECRET}\n" * 3, "has 3 lines; one secret a line, 2 while"),
    ],
    ids=["none", "short", "second short", "three"],
)
def test_secrets_that_cannot_be_used(text: str, message: str) -> None:
    with pytest.raises(SecretUnusable, match=message) as caught:
        parse_secrets(text)
    assert SECRET not in str(caught.value)
