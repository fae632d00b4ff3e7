"""The table of messages for later."""
# ruff: noqa: RUF012  lists, as in every migration of Django

from django.db import migrations, models

import fairway.delay.models


class Migration(migrations.Migration):
    """As `fairway.delay.models` has it."""

    initial = True

    dependencies = []

    operations = [
        migrations.CreateModel(
            name="DelayedMessage",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("layer", models.CharField(default="default", max_length=100)),
                ("due_date", models.DateTimeField()),
                ("channel_name", models.CharField(max_length=99)),
                ("key", models.CharField(blank=True, default=None, max_length=200, null=True)),
                (
                    "name",
                    models.CharField(default=fairway.delay.models.new_name, editable=False, max_length=32, unique=True),
                ),
                ("sent", models.BigIntegerField(default=0, editable=False)),
                ("reply_channel", models.CharField(blank=True, default="", max_length=99)),
                ("body", models.BinaryField(blank=True, null=True)),
            ],
            options={
                "verbose_name": "message for later",
                "verbose_name_plural": "messages for later",
                "indexes": [models.Index(fields=["layer", "due_date", "id"], name="fairway_delay_due")],
                "constraints": [
                    models.UniqueConstraint(fields=("layer", "channel_name", "key"), name="fairway_delay_key")
                ],
            },
        ),
    ]
