"""What the tests of the server share is in tests/server/support."""

from tests.server.support import quick

__all__ = ["quick"]
