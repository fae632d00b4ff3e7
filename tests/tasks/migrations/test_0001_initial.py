"""The migrations make the table that the models describe."""

import io

import pytest
from django.core.management import call_command


@pytest.mark.django_db
def test_the_models_ask_for_no_other_table():
    out = io.StringIO()
    call_command("makemigrations", "fairway_tasks", check=True, dry_run=True, stdout=out)
    assert "No changes detected" in out.getvalue()
