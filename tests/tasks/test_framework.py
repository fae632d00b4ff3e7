"""Which framework it is."""

import importlib
import sys

import django
import pytest
from django.core.exceptions import ImproperlyConfigured

from fairway.tasks import framework

IS_DJANGOS = django.VERSION >= (6, 0)


def test_it_is_djangos_since_django_has_one():
    expected = "django.tasks" if IS_DJANGOS else "django_tasks"
    for name in framework.__all__:
        found = getattr(framework, name)
        module = getattr(found, "__module__", type(found).__module__)
        is_shared = module in ("django.dispatch.dispatcher", "builtins", "django.utils.json")
        assert is_shared or module.startswith(expected), name


@pytest.mark.skipif(IS_DJANGOS, reason="Django has the framework itself")
def test_without_the_package_an_older_django_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "django_tasks", None)
    monkeypatch.delitem(sys.modules, "fairway.tasks.framework")
    with pytest.raises(ImproperlyConfigured, match="pip install django-tasks"):
        importlib.import_module("fairway.tasks.framework")
