"""What a page is told of an import when it comes, and again when the import has ended.

The task reports its progress itself. How it ended is known when its result is stored, and then Django's framework sends
a signal, after a bug as well.
"""

import json

from django.dispatch import receiver

from fairway import Group
from progress.framework import TaskResultStatus, task_finished
from progress.tasks import group_of


def frame_of(result):
    """Return a task's result as a frame for the page."""
    return json.dumps(_told(result))


def _told(result):
    if result.status == TaskResultStatus.SUCCESSFUL:
        seconds = (result.finished_at - result.started_at).total_seconds()
        return {
            "state": "refused" if "error" in result.return_value else "done",
            "seconds": seconds,
            **result.return_value,
        }
    if result.status == TaskResultStatus.FAILED:
        return {"state": "failed"}
    return {"state": "running" if result.status == TaskResultStatus.RUNNING else "waiting"}


@receiver(task_finished)
def tell(task_result, **_kwargs):
    """Tell all who watch."""
    Group(group_of(task_result.id)).send({"text": frame_of(task_result)})
