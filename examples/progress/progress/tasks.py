"""The work: a file goes into the database, row by row, and one line tells the browsers how far it is."""

import csv
import time
from pathlib import Path

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import transaction

from fairway.tasks.progress import report_progress
from progress.framework import task
from progress.models import Arrival

FILE = Path(__file__).with_name("arrivals.csv")
MISTAKE = 120
"""In this row, if one is asked for."""


def group_of(result_id):
    """Name the group of those who watch an import."""
    return f"import-{result_id}"


@task(takes_context=True)
def import_arrivals(context, *, mistake):
    """Put what stands in the file in place of what stands in the register: all of it, or nothing.

    It may be run twice, as every task that can lose its worker. The second run leaves what the first would have left.
    """
    group = group_of(context.task_result.id)
    rows = read_rows(mistake=mistake)
    arrivals = []
    for number, row in enumerate(rows, start=1):
        try:
            arrivals.append(check(row))
        except ValidationError as error:
            # No bug, but an answer, for the one who chose the file.
            return {"error": f"Row {number}, {row['ship']}: {' '.join(error.messages)}"}
        report_progress(group, number, len(rows), ship=row["ship"], port=row["port"])
    with transaction.atomic():
        Arrival.objects.all().delete()
        Arrival.objects.bulk_create(arrivals)
    return {"imported": len(arrivals)}


def read_rows(*, mistake):
    """Return what stands in the file."""
    with FILE.open(encoding="utf-8", newline="") as lines:
        rows = list(csv.DictReader(lines))
    if mistake:
        rows[MISTAKE - 1]["tons"] = "a lot"
    return rows


def check(row):
    """Make an arrival of a row, slowly: an import of your own would look things up and ask around."""
    time.sleep(settings.PAUSE)
    arrival = Arrival(**row)
    arrival.full_clean()
    return arrival
