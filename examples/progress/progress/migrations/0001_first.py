"""The table of the arrivals."""

from typing import ClassVar

from django.db import migrations, models


class Migration(migrations.Migration):
    """Create it."""

    initial = True
    dependencies: ClassVar = []
    operations: ClassVar = [
        migrations.CreateModel(
            name="Arrival",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("day", models.DateField()),
                ("ship", models.CharField(max_length=80)),
                ("port", models.CharField(max_length=80, verbose_name="last port")),
                ("tons", models.PositiveIntegerField()),
            ],
            options={"ordering": ["-day", "-pk"]},
        ),
    ]
