"""Django as this process has it, for another one that is started from nothing: settings, overrides, test databases.

Each value is pickled apart, so that the one that cannot travel is named.
"""

import os
import pickle
import sys
from collections.abc import Mapping
from types import ModuleType
from typing import Any, cast

import django
import msgspec
from django.conf import UserSettingsHolder, global_settings, settings
from django.core.exceptions import ImproperlyConfigured
from django.db import connections

_MISSING = object()


class DjangoSnapshot(msgspec.Struct, frozen=True, kw_only=True):
    """What the other process needs.

    `module` is the settings module, empty where `settings.configure()` was called: then `base` is what it was given.
    `changes` are the settings that differ now, `deleted` those that were taken away; values are pickled.
    """

    path: list[str]
    module: str
    base: dict[str, bytes]
    changes: dict[str, bytes]
    deleted: list[str]
    databases: dict[str, bytes]

    def restore(self) -> None:
        """Set Django up as it was when the snapshot was taken. Call it once, in a process without Django."""
        sys.path[:] = self.path
        if self.module:
            os.environ["DJANGO_SETTINGS_MODULE"] = self.module
        else:
            settings.configure(**_unpickled(self.base))
        # Before anything is loaded: an app may look into its database as soon as it is ready.
        databases = _unpickled(self.databases)
        settings.DATABASES.update(databases)
        django.setup()
        connections.settings.update(databases)
        from django.test import override_settings

        override_settings(**_unpickled(self.changes)).enable()
        for name in self.deleted:
            delattr(settings, name)


def take_snapshot() -> DjangoSnapshot:
    """Return what Django is like in this process now.

    Raises:
        ImproperlyConfigured: a setting cannot travel; the text names it.
    """
    holders = []
    wrapped: Any = cast("Any", settings)._wrapped  # noqa: SLF001  Django has no public way to ask what is overridden
    while isinstance(wrapped, UserSettingsHolder):
        holders.append(wrapped)
        wrapped = wrapped.default_settings
    base: dict[str, Any] = {}
    module = getattr(wrapped, "SETTINGS_MODULE", "")
    if not module:
        base = _own(holders.pop())
    changes = _assigned(wrapped) if module else {}
    deleted: set[str] = set()
    for holder in reversed(holders):
        gone = holder._deleted  # noqa: SLF001  as above
        deleted = {*deleted - _own(holder).keys(), *gone}
        changes = {name: value for name, value in {**changes, **_own(holder)}.items() if name not in gone}
    return DjangoSnapshot(
        path=list(sys.path),
        module=module,
        base=_pickled(base),
        changes=_pickled({name: value for name, value in changes.items() if name != "DATABASES"}),
        deleted=sorted(deleted),
        databases=_pickled({alias: connections[alias].settings_dict for alias in connections}, "DATABASES"),
    )


def _own(holder: Any) -> dict[str, Any]:
    """Return the settings that an override has itself."""
    return {name: value for name, value in vars(holder).items() if name.isupper()}


def _assigned(base: Any) -> dict[str, Any]:
    """Return the settings that were assigned (`settings.DEBUG = False`), as Django's test runner does it."""
    module: ModuleType = sys.modules[base.SETTINGS_MODULE]
    found = {}
    for name, value in _own(base).items():
        original = getattr(module, name, getattr(global_settings, name, _MISSING))
        if value is not original and value != original:
            found[name] = value
    return found


def _pickled(values: Mapping[str, Any], setting: str = "") -> dict[str, bytes]:
    found = {}
    for name, value in values.items():
        try:
            found[name] = pickle.dumps(value)
        except Exception as error:
            where = f"{setting}[{name!r}]" if setting else name
            msg = (
                f"the setting {where} of this test cannot be handed to a worker process that is spawned ({error}); "
                "name things by their dotted paths, or set worker_start_method = 'fork'"
            )
            raise ImproperlyConfigured(msg) from error
    return found


def _unpickled(values: Mapping[str, bytes]) -> dict[str, Any]:
    return {name: pickle.loads(value) for name, value in values.items()}  # noqa: S301  from the process that started us
