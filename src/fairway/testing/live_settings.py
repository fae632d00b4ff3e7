"""Django as this process has it, for another one that is started from nothing: settings, overrides, test databases.

Each value is pickled apart, so that the one that cannot travel is named.
"""

import os
import pickle
import sys
import warnings
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

    `module` is the settings module, empty where `settings.configure()` was called. `base` is what that was given, or
    what was assigned to settings of the module (`settings.DEBUG = False`, as Django's test runner does it). `changes`
    are the settings that are overridden now, `deleted` those that were taken away. Values are pickled.
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
        with warnings.catch_warnings(action="ignore"):  # what is to be said about settings was said to the test
            self._restore_base()
        # Before anything is loaded: an app may look into its database as soon as it is ready.
        databases = _unpickled(self.databases)
        settings.DATABASES.update(databases)
        django.setup()
        connections.settings.update(databases)
        from django.test import override_settings

        with warnings.catch_warnings(action="ignore"):
            override_settings(**_unpickled(self.changes)).enable()
        for name in self.deleted:
            delattr(settings, name)

    def _restore_base(self) -> None:
        base = _unpickled(self.base)
        if not self.module:
            settings.configure(**base)
            return
        os.environ["DJANGO_SETTINGS_MODULE"] = self.module
        for name, value in base.items():
            setattr(settings, name, value)


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
    module = getattr(wrapped, "SETTINGS_MODULE", "")
    base = _assigned(wrapped) if module else _own(holders.pop())
    changes: dict[str, Any] = {}
    deleted: set[str] = set()
    for holder in reversed(holders):
        gone = holder._deleted  # noqa: SLF001  as above
        deleted = {*deleted - _own(holder).keys(), *gone}
        changes = {name: value for name, value in {**changes, **_own(holder)}.items() if name not in gone}
    return DjangoSnapshot(
        path=list(sys.path),
        module=module,
        base=_pickled(base),
        changes=_pickled(changes),
        deleted=sorted(deleted),
        databases=_pickled({alias: connections[alias].settings_dict for alias in connections}, "DATABASES"),
    )


def _own(holder: Any) -> dict[str, Any]:
    """Return the settings that an override has itself, but for the databases, which the connections know best."""
    return {name: value for name, value in vars(holder).items() if name.isupper() and name != "DATABASES"}


def _assigned(base: Any) -> dict[str, Any]:
    """Return the settings of a module that have other values than there."""
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
