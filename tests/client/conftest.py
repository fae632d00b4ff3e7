"""A client comes back in a moment, so that a test need not wait for it."""

import pytest

from fairway.client import closing


@pytest.fixture
def quick(monkeypatch):
    """The delays before a try are next to nothing."""
    delay = closing.Delay(least=0, first=0.01, longest=0.02)
    monkeypatch.setattr(closing, "DELAYS", {"soon": delay, "later": delay})
