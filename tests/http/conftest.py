"""What the HTTP tests share: a site behind a layer, and a clean list of what its views did."""

from collections.abc import Iterator

import pytest

from tests.http import pages
from tests.http.exchange import Site


@pytest.fixture(autouse=True)
def urls(settings: object, db: None) -> None:
    settings.ROOT_URLCONF = "tests.http.pages"  # type: ignore[attr-defined]
    pages.events.clear()


@pytest.fixture
def site(urls: None) -> Iterator[Site]:
    made = Site()
    yield made
    made.close()
