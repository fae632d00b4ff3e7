"""The Django app."""

from django.apps import AppConfig


class DelayConfig(AppConfig):
    """Has the table of messages for later."""

    name = "fairway.delay"
    label = "fairway_delay"
    verbose_name = "Fairway: messages for later"
    default_auto_field = "django.db.models.BigAutoField"
