"""The consumer behind `http.request`."""

import logging
from typing import TYPE_CHECKING, Any, ClassVar

from django.utils import timezone, translation

from fairway.broker.effects import Send
from fairway.errors import ChannelGone
from fairway.http.handler import AsgiHandler
from fairway.http.response import ReplyMessage
from fairway.layers.codec import encode_built
from fairway.limits import HttpLimits
from fairway.worker.outbox import dispatch_effect

if TYPE_CHECKING:
    from fairway.channel import Channel
    from fairway.message import Message

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
                    _send_whole(reply, reply_channel)
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


def _send_whole(reply: ReplyMessage, reply_channel: "Channel") -> None:
    """Send a response of one message. All of it was built from Django's response, so only its status is looked at."""
    if type(reply["status"]) is not int:
        reply_channel.send(reply)
        return
    layer = reply_channel.channel_layer
    dispatch_effect(Send(reply_channel.name, encode_built(reply, layer.message_limits)), layer)
