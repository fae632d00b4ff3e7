import subprocess
import sys

import msgspec
import pytest
from django.apps import apps
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.db import connection
from django.test import override_settings

from fairway.testing.live_settings import DjangoSnapshot, take_snapshot
from tests.support.processes import ROOT

RESTORE = """
import pathlib
import sys
import msgspec
from fairway.testing.live_settings import DjangoSnapshot

msgspec.msgpack.decode(pathlib.Path(sys.argv[1]).read_bytes(), type=DjangoSnapshot).restore()
from django.conf import settings
from django.db import connection
{}
"""

CONFIGURED = """
import pathlib
import sys
import django
import msgspec
from django.conf import settings
from fairway.testing.live_settings import take_snapshot

settings.configure(INSTALLED_APPS=["fairway"], GREETING="configured", USE_TZ=True)
django.setup()
pathlib.Path(sys.argv[1]).write_bytes(msgspec.msgpack.encode(take_snapshot()))
"""


def python(text, *arguments):
    command = [sys.executable, "-W", "error", "-c", text, *map(str, arguments)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=50, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def restored(path, expression):
    """What an expression is in a process that was set up from this one."""
    path.write_bytes(msgspec.msgpack.encode(take_snapshot()))
    return python(RESTORE.format(f"print({expression})"), path).strip()


def test_overrides_arrive_the_innermost_first(tmp_path):
    with override_settings(GREETING="outer", OTHER=1), override_settings(GREETING="inner"):
        expected = "inner 1 tests.support.urls"
        assert restored(tmp_path / "s", "settings.GREETING, settings.OTHER, settings.ROOT_URLCONF") == expected


def test_what_was_deleted_is_missing_and_what_came_back_is_there(tmp_path):
    with override_settings(GREETING="outer", OTHER=1), override_settings():
        del settings.GREETING
        del settings.OTHER
        with override_settings(OTHER=2):
            assert restored(tmp_path / "s", "hasattr(settings, 'GREETING'), settings.OTHER") == "False 2"


def test_what_the_test_runner_assigned_arrives(tmp_path):
    assert restored(tmp_path / "s", "settings.ALLOWED_HOSTS") == "['*', 'testserver']"


def test_the_databases_are_those_of_the_test(tmp_path, monkeypatch):
    monkeypatch.setitem(connection.settings_dict, "NAME", "test_gw1.sqlite3")
    names = "connection.settings_dict['NAME'], settings.DATABASES['default']['NAME']"
    assert restored(tmp_path / "s", names) == "test_gw1.sqlite3 test_gw1.sqlite3"


def test_installed_apps_may_be_overridden(tmp_path):
    with override_settings(INSTALLED_APPS=["fairway"]):
        assert apps.is_installed("fairway")
        text = "__import__('django.apps').apps.apps.is_installed('django.contrib.auth')"
        assert restored(tmp_path / "s", text) == "False"


def test_settings_that_were_configured_without_a_module_arrive(tmp_path):
    python(CONFIGURED, tmp_path / "s")
    assert python(RESTORE.format("print(settings.GREETING)"), tmp_path / "s").strip() == "configured"


def test_what_cannot_travel_is_named():
    with (
        override_settings(GREETING=lambda: 1),
        pytest.raises(ImproperlyConfigured, match=r"the setting GREETING .* worker_start_method = 'fork'"),
    ):
        take_snapshot()


def test_a_database_that_cannot_travel_is_named(monkeypatch):
    monkeypatch.setitem(connection.settings_dict, "OPTIONS", {"init": lambda: 1})
    with pytest.raises(ImproperlyConfigured, match=r"the setting DATABASES\['default'\] of this test"):
        take_snapshot()


def test_a_snapshot_is_data():
    snapshot = take_snapshot()
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(snapshot), type=DjangoSnapshot) == snapshot
