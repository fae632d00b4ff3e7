"""The consumer behind `http.request`."""

import logging
from typing import TYPE_CHECKING, Any, ClassVar

from django.utils import timezone, translation

from fairway.errors import ChannelGone
from fairway.http.handler import AsgiHandler
from fairway.limits import HttpLimits

if TYPE_CHECKING:
    from fairway.channel import Message

logger = logging.getLogger("fairway.http")


class ViewConsumer:
    """Answers requests with Django's views.

    A response of one message leaves with the commit of the request: it is sent once, with all else that the view sent.
    Longer ones are sent chunk by chunk, each waiting until the client has taken what was sent before.
    """

    handler_class: ClassVar[type[AsgiHandler]] = AsgiHandler
    send_timeout: float = HttpLimits().answer_timeout
    """Seconds that a chunk may wait for the client; then `ChannelFull` ends the consumer, and the server cuts."""

    def __init__(self) -> None:
        self.handler = self.handler_class()

    def __call__(self, message: "Message", **_kwargs: Any) -> None:
        """Handle one request."""
        reply_channel = message.reply_channel
        if reply_channel is None:
            raise ValueError("an http.request message has a reply_channel, this one has none")
        messages = self.handler(message)
        try:
            for reply in messages:
                if "status" in reply and not reply["more_content"]:
                    reply_channel.send(reply)
                else:
                    reply_channel.send(reply, immediately=True, timeout=self.send_timeout)
        except ChannelGone:
            logger.debug("client of %s went away during its response", reply_channel.name)
        finally:
            messages.close()
            # Middleware may have chosen a language and a time zone. The next message of this thread is someone else's,
            # and no middleware stands before a consumer.
            translation.deactivate()
            timezone.deactivate()
