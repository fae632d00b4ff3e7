"""What the tests of the server share is in tests/server/support; what needs a project is in tests/support/site."""

import pytest

from tests.server.support import quick
from tests.support.site import Site

__all__ = ["quick"]


@pytest.fixture
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    """A project that does not run yet, in a folder with a short name: the path of a Unix socket may not be long."""
    return Site(tmp_path_factory.mktemp("s"))
