"""Django's Tasks framework, wherever it is: in Django since 6.0, and in the package django-tasks for Django 5.2."""

try:
    from django.tasks import TaskResultStatus, task
    from django.tasks.exceptions import TaskResultDoesNotExist
    from django.tasks.signals import task_finished
except ImportError:
    from django_tasks import TaskResultStatus, task
    from django_tasks.exceptions import TaskResultDoesNotExist
    from django_tasks.signals import task_finished

__all__ = ["TaskResultDoesNotExist", "TaskResultStatus", "task", "task_finished"]
