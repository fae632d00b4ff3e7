"""`fairway.http.static`: static files in development."""

import pytest
from django.core.exceptions import ImproperlyConfigured

from fairway.http.static import StaticFilesConsumer, StaticFilesHandler
from tests.http.exchange import Site, make_message


@pytest.fixture
def files(settings, tmp_path):
    settings.STATIC_URL = "/static/"
    settings.STATICFILES_DIRS = [tmp_path]
    (tmp_path / "site.css").write_text("body {}")
    (tmp_path / "with space.css").write_text("p {}")
    return tmp_path


@pytest.fixture
def static_site(files):
    made = Site(StaticFilesConsumer())
    yield made
    made.close()


def test_a_file_is_served(static_site):
    answer = static_site.get("/static/site.css")
    assert (answer.status, answer.text) == (200, "body {}")
    assert answer.headers("Content-Type") == ["text/css"]
    assert static_site.get("/static/with space.css").text == "p {}"


def test_an_unchanged_file_is_not_sent_again(static_site):
    when = static_site.get("/static/site.css").headers("Last-Modified")[0].encode()
    assert static_site.get("/static/site.css", headers=[(b"if-modified-since", when)]).status == 304


def test_everything_else_is_djangos(static_site):
    assert static_site.get("/hello/").text == "hello you at /hello/"


def test_a_missing_file_is_explained_with_debug_and_djangos_without(static_site, settings):
    settings.DEBUG = True
    answer = static_site.get("/static/nothing.css")
    assert answer.status == 404
    assert "could not be found" in answer.text
    settings.DEBUG = False
    answer = static_site.get("/static/nothing.css")
    assert answer.status == 404
    assert "Not Found" in answer.text


@pytest.mark.parametrize(
    ("path", "status"), [("/static/../secret", 400), ("/static//etc/passwd", 404), ("/static/", 404)]
)
def test_nothing_outside_is_served(static_site, files, path, status):
    (files.parent / "secret").write_text("secret")
    assert static_site.get(path).status == status


def test_a_static_url_on_another_host_is_not_ours(files, settings):
    settings.STATIC_URL = "https://cdn.example/static/"
    handler = StaticFilesHandler()
    (message,) = handler(make_message({"path": "/static/site.css"}))
    assert message["status"] == 404


def test_wrong_settings_are_told_at_once(settings):
    settings.STATIC_URL = None
    with pytest.raises(ImproperlyConfigured):
        StaticFilesHandler()
