"""Two hosts for each test."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.joined import Hosts


@pytest.fixture
def hosts(tmp_path: Path) -> Iterator[Hosts]:
    """Two hubs joined by a memory layer, a client of each."""
    hosts = Hosts(tmp_path)
    yield hosts
    hosts.close()
