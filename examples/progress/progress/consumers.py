"""What happens when a page wants to watch an import."""

from fairway import Group
from fairway.errors import DenyConnection
from progress.framework import TaskResultDoesNotExist
from progress.results import frame_of
from progress.tasks import group_of, import_arrivals


def watch(message, result_id):
    """Let the socket into the group of its import, and say how it stands.

    In this order: what happens after the look reaches the socket through the group, so it misses nothing.
    """
    Group(group_of(result_id)).add(message.reply_channel)
    try:
        result = import_arrivals.get_result(result_id)
    except TaskResultDoesNotExist:
        raise DenyConnection from None
    message.reply_channel.send({"text": frame_of(result)})
