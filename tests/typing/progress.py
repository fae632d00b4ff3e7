"""Progress as a typed application reports it. mypy reads this file; nothing runs it."""

from datetime import datetime

from fairway import Group, Message
from fairway.tasks.progress import areport_progress, report_progress


def import_rows(message: Message) -> None:
    """A group by its name, and whole numbers."""
    report_progress("import-7", 57, 200, ship="Long Division", since=datetime.now().astimezone())


async def copy_bytes(message: Message) -> None:
    """A group of another layer, and any numbers."""
    await areport_progress(Group("copy", "other"), 0.5, 2.0, error="The disk is full.")


report_progress("import-7", "57", 200)  # type: ignore[arg-type]
