"""The Django app."""

import os
from types import ModuleType

from django.apps import AppConfig, apps
from django.utils.module_loading import autodiscover_modules

RUNSERVER_VARIABLE = "FAIRWAY_RUNSERVER"
"""As in `devserver.orders`, which is only imported where it is needed."""


class FairwayConfig(AppConfig):
    """Registers the system checks, and what closes the sockets of a login that ends."""

    name = "fairway"
    verbose_name = "Fairway"

    def __init__(self, app_name: str, app_module: ModuleType | None) -> None:
        super().__init__(app_name, app_module)
        if RUNSERVER_VARIABLE in os.environ:
            from fairway.devserver.lifeline import end_with_parent

            end_with_parent(os.environ)

    def ready(self) -> None:
        """Import what registers itself."""
        from fairway import checks  # noqa: F401
        from fairway.binding import BindingMetaclass

        # Whoever saves a bound model has to know of it: a view, the admin and a shell, too, which import no routing.
        autodiscover_modules("bindings")
        BindingMetaclass.register_all()

        if apps.is_installed("django.contrib.auth"):
            from fairway.auth.changes import connect_receivers

            connect_receivers()
