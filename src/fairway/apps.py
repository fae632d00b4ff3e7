"""The Django app."""

from django.apps import AppConfig


class FairwayConfig(AppConfig):
    """Registers the system checks."""

    name = "fairway"
    verbose_name = "Fairway"

    def ready(self) -> None:
        """Import what registers itself."""
        from fairway import checks  # noqa: F401
