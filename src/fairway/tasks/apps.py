"""The app that keeps tasks in the database."""

from django.apps import AppConfig


class TasksConfig(AppConfig):
    """Keeps tasks and their results."""

    name = "fairway.tasks"
    label = "fairway_tasks"
    verbose_name = "Tasks"
    default_auto_field = "django.db.models.BigAutoField"
