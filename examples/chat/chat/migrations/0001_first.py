"""The two tables of the chat."""

from typing import ClassVar

from django.db import migrations, models


class Migration(migrations.Migration):
    """Create them."""

    initial = True
    dependencies: ClassVar = []
    operations: ClassVar = [
        migrations.CreateModel(
            name="Member",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("channel", models.CharField(max_length=200, unique=True)),
                ("room", models.CharField(db_index=True, max_length=50)),
                ("name", models.CharField(max_length=40)),
                ("joined", models.DateTimeField(auto_now_add=True)),
            ],
        ),
        migrations.CreateModel(
            name="Message",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("room", models.CharField(max_length=50)),
                ("name", models.CharField(max_length=40)),
                ("text", models.TextField(max_length=2000)),
                ("sent", models.DateTimeField(auto_now_add=True)),
                ("ref", models.UUIDField()),
            ],
            options={
                "indexes": [models.Index(fields=["room", "-id"], name="message_by_room")],
                "constraints": [models.UniqueConstraint(fields=("room", "ref"), name="message_once_in_a_room")],
            },
        ),
    ]
