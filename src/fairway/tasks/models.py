"""A task in the database: what is to be done, how far it is, and what came of it."""

import uuid
from typing import ClassVar

from django.db import models
from django.utils.translation import pgettext_lazy

from fairway.tasks.fields import JsonText

LONGEST_NAME = 200
"""Characters of the name of a queue or a backend."""


class Status(models.TextChoices):
    """The words of the Tasks framework for how far a task is."""

    READY = "READY", pgettext_lazy("Task", "Ready")
    RUNNING = "RUNNING", pgettext_lazy("Task", "Running")
    FAILED = "FAILED", pgettext_lazy("Task", "Failed")
    SUCCESSFUL = "SUCCESSFUL", pgettext_lazy("Task", "Successful")


class Place(models.IntegerChoices):
    """Which tickets may claim a task that is ready. A number: SQLite takes no index for a bool."""

    ASIDE = 0
    """None, before its time has come; or only the one that has put it off."""
    IN_LINE = 1
    """Any."""


class TaskRecord(models.Model):
    """One task."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    backend = models.CharField(max_length=LONGEST_NAME)
    queue = models.CharField(max_length=LONGEST_NAME)
    path = models.TextField()
    args = JsonText(default=list)
    kwargs = JsonText(default=dict)
    priority = models.SmallIntegerField(default=0)
    run_after = models.DateTimeField(null=True)

    status = models.CharField(max_length=10, choices=Status.choices, default=Status.READY)
    place = models.PositiveSmallIntegerField(default=Place.IN_LINE)
    has_ticket = models.BooleanField(default=True)
    """Whether its ticket was sent."""
    wake_at = models.DateTimeField(null=True)
    """Aside: when it is due. In line: since when it has been waiting without a ticket."""
    claim = models.CharField(max_length=32, blank=True, default="")
    """Names the ticket that has claimed it, until nothing is left to be done with it."""
    attempts = models.PositiveIntegerField(default=0)

    enqueued_at = models.DateTimeField()
    started_at = models.DateTimeField(null=True)
    last_attempted_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)
    worker_ids = JsonText(default=list)
    errors = JsonText(default=list)
    return_value = JsonText(null=True)

    class Meta:
        """Indexes: whoever claims reads the first entry of each, whatever waits or has ended."""

        verbose_name = "task"
        indexes: ClassVar[list[models.Index]] = [
            models.Index(
                fields=["backend", "queue", "status", "place", "-priority", "enqueued_at"], name="fairway_tasks_next"
            ),
            models.Index(fields=["backend", "queue", "status", "place", "wake_at"], name="fairway_tasks_wake"),
            models.Index(fields=["claim"], name="fairway_tasks_claim"),
        ]

    def __str__(self) -> str:
        return f"{self.path} ({self.id}, {self.status})"
