"""How a hub and a client of another host show each other that they know the same secret: bytes in, bytes out.

The client's `Hello` brings a nonce, the hub's `Challenge` another. The client's `Proof` is first, so that a stranger
learns nothing that a secret could be guessed from; the hub's is in its `Welcome`, made with the secret that the client
has used. A proof is

    HMAC-SHA256(secret, role || client's nonce || hub's nonce || binding)

The role (`fairway hub client` or `fairway hub server`, 18 bytes each) keeps a proof from being sent back to whoever
made it; fresh nonces keep it from being used again; the binding, the SHA-256 of the certificate that the hub has shown,
keeps it from being passed on by somebody in between, who has another one. Without TLS it is 32 zero bytes.
"""

import hashlib
import hmac
from collections.abc import Iterable
from typing import Final, Literal

NONCE: Final = 32
"""Bytes of a nonce."""

SHORTEST: Final = 16
"""Bytes of a secret; fewer could be guessed."""

MOST_SECRETS: Final = 2
"""The one in use, and, while it is being replaced, another."""

UNBOUND: Final = bytes(32)
"""The binding of a connection without TLS."""

Role = Literal["client", "server"]


class SecretUnusable(ValueError):
    """What is given as a secret is none; the text says why, and never holds the secret."""


def parse_secrets(text: str) -> tuple[str, ...]:
    """Return the secrets in a file or variable, one a line: the first is offered, any is accepted.

    Raises:
        SecretUnusable: there is none, there are too many, or one is too short.
    """
    found = tuple(line.strip() for line in text.splitlines() if line.strip())
    if not found:
        raise SecretUnusable("holds no secret; write one line, such as `openssl rand -hex 32` prints")
    if len(found) > MOST_SECRETS:
        raise SecretUnusable(f"has {len(found)} lines; one secret a line, {MOST_SECRETS} while one replaces the other")
    for number, secret in enumerate(found, 1):
        if len(secret.encode()) < SHORTEST:
            raise SecretUnusable(
                f"has only {len(secret.encode())} bytes in line {number}, and {SHORTEST} are the least; "
                "take what `openssl rand -hex 32` prints"
            )
    return found


def bind_to(certificate: bytes) -> bytes:
    """Return the binding to a certificate (DER); of none (`b""`) that of a connection without TLS."""
    return hashlib.sha256(certificate).digest() if certificate else UNBOUND


class Exchange:
    """One greeting between a client and a hub.

    Parameters:
        asked: the client's nonce.
        asked_back: the hub's nonce.
        bindings: of the certificate; a hub that has just renewed its own takes the one before, too.

    Raises:
        SecretUnusable: the nonces are not two different ones of the right length.
    """

    def __init__(self, asked: bytes, asked_back: bytes, bindings: Iterable[bytes] = (UNBOUND,)) -> None:
        if len(asked) != NONCE or len(asked_back) != NONCE:
            raise SecretUnusable(f"a nonce has {NONCE} bytes, not {len(asked)} or {len(asked_back)}")
        if asked == asked_back:
            raise SecretUnusable("the nonce was sent back")
        self._nonces = asked + asked_back
        self._bindings = tuple(bindings)

    def prove(self, role: Role, secret: str, binding: bytes | None = None) -> bytes:
        """Return the proof of a role; bound to the newest certificate unless told otherwise."""
        bound = self._bindings[0] if binding is None else binding
        label = f"fairway hub {role}".encode("ascii")
        return hmac.digest(secret.encode(), label + self._nonces + bound, "sha256")

    def find(self, role: Role, proof: bytes, secrets: Iterable[str]) -> tuple[str, bytes] | None:
        """Return the secret and the binding that a proof was made with; None when it is wrong.

        All are tried, and compared in a time that does not depend on what is right about them.
        """
        found = None
        for secret in secrets:
            for binding in self._bindings:
                if hmac.compare_digest(self.prove(role, secret, binding), proof):
                    found = secret, binding
        return found
