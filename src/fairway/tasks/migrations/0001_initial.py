"""The table of tasks."""
# ruff: noqa: RUF012  lists, as in every migration of Django

import uuid

from django.db import migrations, models

import fairway.tasks.fields


class Migration(migrations.Migration):
    """As `fairway.tasks.models` has it."""

    initial = True

    dependencies = []

    operations = [
        migrations.CreateModel(
            name="TaskRecord",
            fields=[
                ("id", models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                ("backend", models.CharField(max_length=200)),
                ("queue", models.CharField(max_length=200)),
                ("path", models.TextField()),
                ("args", fairway.tasks.fields.JsonText(default=list)),
                ("kwargs", fairway.tasks.fields.JsonText(default=dict)),
                ("priority", models.SmallIntegerField(default=0)),
                ("run_after", models.DateTimeField(null=True)),
                (
                    "status",
                    models.CharField(
                        choices=[
                            ("READY", "Ready"),
                            ("RUNNING", "Running"),
                            ("FAILED", "Failed"),
                            ("SUCCESSFUL", "Successful"),
                        ],
                        default="READY",
                        max_length=10,
                    ),
                ),
                ("place", models.PositiveSmallIntegerField(default=1)),
                ("has_ticket", models.BooleanField(default=True)),
                ("wake_at", models.DateTimeField(null=True)),
                ("claim", models.CharField(blank=True, default="", max_length=32)),
                ("attempts", models.PositiveIntegerField(default=0)),
                ("enqueued_at", models.DateTimeField()),
                ("started_at", models.DateTimeField(null=True)),
                ("last_attempted_at", models.DateTimeField(null=True)),
                ("finished_at", models.DateTimeField(null=True)),
                ("worker_ids", fairway.tasks.fields.JsonText(default=list)),
                ("errors", fairway.tasks.fields.JsonText(default=list)),
                ("return_value", fairway.tasks.fields.JsonText(null=True)),
            ],
            options={
                "verbose_name": "task",
                "indexes": [
                    models.Index(
                        fields=["backend", "queue", "status", "place", "-priority", "enqueued_at"],
                        name="fairway_tasks_next",
                    ),
                    models.Index(fields=["backend", "queue", "status", "place", "wake_at"], name="fairway_tasks_wake"),
                    models.Index(fields=["claim"], name="fairway_tasks_claim"),
                ],
            },
        ),
    ]
