"""The app's configuration."""

from django.apps import AppConfig


class LiveblogConfig(AppConfig):
    """The live blog."""

    name = "liveblog"

    def ready(self) -> None:
        """Load what watches models: Django finds it only if somebody imports it.

        The binding is needed in every process that saves posts, also in `manage.py shell`, which routes nothing.
        """
        from liveblog import bindings, rights  # noqa: F401
