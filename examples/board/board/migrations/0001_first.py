"""The tables of the boards and their cards."""

import uuid
from typing import ClassVar

import django.core.validators
import django.db.models.deletion
from django.db import migrations, models

import fairway.rohrpost.mixins


class Migration(migrations.Migration):
    """Create them."""

    initial = True
    dependencies: ClassVar = []
    operations: ClassVar = [
        migrations.CreateModel(
            name="Board",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("name", models.CharField(max_length=80)),
            ],
        ),
        migrations.CreateModel(
            name="Card",
            fields=[
                ("id", models.UUIDField(default=uuid.uuid4, primary_key=True, serialize=False)),
                (
                    "title",
                    models.CharField(
                        error_messages={"blank": "A card needs a title."},
                        max_length=80,
                        validators=[django.core.validators.ProhibitNullCharactersValidator()],
                    ),
                ),
                (
                    "column",
                    models.CharField(
                        choices=[("deck", "On deck"), ("below", "Below deck"), ("ashore", "Ashore")], max_length=10
                    ),
                ),
                ("position", models.PositiveIntegerField(default=0)),
                ("done", models.BooleanField(default=False)),
                ("version", models.PositiveIntegerField(default=0, editable=False)),
                (
                    "board",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="cards", to="board.board"
                    ),
                ),
            ],
            options={"ordering": ["column", "position"]},
            bases=(fairway.rohrpost.mixins.NotifyOnChange, models.Model),
        ),
    ]
