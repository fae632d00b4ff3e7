"""Django's Tasks framework on channels.

In the settings of a project::

    INSTALLED_APPS = [..., "fairway", "fairway.tasks"]
    TASKS = {"default": {"BACKEND": "fairway.tasks.ChannelTaskBackend", "QUEUES": ["default", "mail"]}}

and in its routing ``include("fairway.tasks.routing.task_routing")``, so that its workers run the tasks.

How it is made: a task is a row of the database, and a **ticket** is a message on the channel of its queue. The row
says what is to be done and what came of it. The ticket says that there is something to be done; it names no row, and
whoever consumes it claims the row that comes first. So priorities hold whatever the order of the tickets, and a ticket
that is lost is made up for by any other.
"""

from typing import TYPE_CHECKING

from fairway.lazy import lazy_names

if TYPE_CHECKING:
    from fairway.tasks.backend import ChannelTaskBackend

__all__ = ["ChannelTaskBackend"]

__getattr__, __dir__ = lazy_names(globals(), {"ChannelTaskBackend": "fairway.tasks.backend"})
