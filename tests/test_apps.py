"""The Django app loads alone, and plain Django does not notice it."""

import subprocess
import sys

from fairway import apps
from fairway.devserver import orders


def test_it_needs_no_other_app_and_no_layers():
    code = """
import django
from django.conf import settings
settings.configure(INSTALLED_APPS=["fairway"])
django.setup()
from django.apps import apps
from django.core.management import call_command, get_commands
call_command("check")
print(apps.get_app_config("fairway").verbose_name, get_commands()["runserver"])
"""
    found = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=True)

    assert found.stdout.split("\n")[1] == "Fairway fairway"


def test_the_variable_of_runserver_is_the_one_that_it_uses():
    assert apps.RUNSERVER_VARIABLE == orders.VARIABLE
