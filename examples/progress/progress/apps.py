"""The app's configuration."""

from django.apps import AppConfig


class ProgressConfig(AppConfig):
    """The register of a harbour."""

    name = "progress"

    def ready(self) -> None:
        """Load what listens to the ends of tasks: Django finds it only if somebody imports it."""
        from progress import results  # noqa: F401
