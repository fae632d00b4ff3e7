"""`manage.py deadletters`: look at the messages that nobody could consume, put them back, or drop them."""

from collections.abc import Callable
from fnmatch import fnmatchcase
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

import fairway
from fairway.conf import channel_layers
from fairway.errors import InvalidLayerSetting, LayerUnavailable
from fairway.layers.base import DeadLetter, Layer
from fairway.management import letters as looks
from fairway.supervisor.options import positive

ALL = 1_000_000
"""As many letters as a layer may keep."""


class Command(BaseCommand):
    """Show and decide about dead letters."""

    help = (
        "Dead letters are messages that nobody could consume: their workers were lost too often, ConsumeLater was "
        "raised too often, or their channel was full. They are kept until you put them back or drop them."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        """Add the four actions and their options."""
        actions = parser.add_subparsers(title="actions", dest="action", required=True, metavar="ACTION")
        listing = _add(actions, "list", "Show them in a table, the newest first.", self._list)
        _add_channel(listing)
        listing.add_argument(
            "--limit", type=positive, default=100, metavar="N", help="Show at most so many (%(default)s)."
        )
        _add_json(listing)
        showing = _add(actions, "show", "Show one in full, with what is in it.", self._show)
        showing.add_argument("id", metavar="ID", help="Its id, as `list` shows it.")
        _add_json(showing)
        for name, text, act in (
            (
                "requeue",
                "Put some back at the end of their channels, with a new count of attempts.",
                self._requeue,
            ),
            ("drop", "Drop some for good.", self._drop),
        ):
            deciding = _add(actions, name, text, act)
            deciding.add_argument("ids", metavar="ID", nargs="*", help="Their ids, as `list` shows them.")
            deciding.add_argument("--all", action="store_true", help="All of them, or all that --channel leaves.")
            _add_channel(deciding)

    def handle(self, *_args: Any, **options: Any) -> None:
        """Do what is asked.

        Raises:
            CommandError: the layer cannot be reached, or there is no such letter; the text says what to do.
        """
        layer = get_layer(options["layer"])
        try:
            options["act"](layer, options)
        except LayerUnavailable as error:
            raise CommandError(f"the layer {options['layer']!r} cannot be reached: {error}") from error

    def _list(self, layer: Layer, options: dict[str, Any]) -> None:
        found = _find(layer, options)
        shown = found[: options["limit"]]
        if options["json"]:
            self.stdout.write(looks.as_json(shown))
        elif not found:
            self.stdout.write("There are no dead letters" + (" in such channels." if options["channel"] else "."))
        else:
            self.stdout.write(looks.table(shown))
            if len(found) > len(shown):
                self.stdout.write(f"{len(found) - len(shown)} older ones are not shown; --limit shows more.")

    def _show(self, layer: Layer, options: dict[str, Any]) -> None:
        found = [letter for letter in layer.dead_letters(ALL) if letter.id == options["id"]]
        if not found:
            raise CommandError(f"there is no dead letter {options['id']!r}; `deadletters list` shows all")
        self.stdout.write(looks.as_json(found) if options["json"] else "\n\n".join(map(looks.full, found)))

    def _requeue(self, layer: Layer, options: dict[str, Any]) -> None:
        ids = _ids(layer, options)
        self._report(layer.requeue_dead(ids), len(ids), "put back", "is no dead letter, or its channel has no room")

    def _drop(self, layer: Layer, options: dict[str, Any]) -> None:
        ids = _ids(layer, options)
        self._report(layer.drop_dead(ids), len(ids), "dropped", "is no dead letter")

    def _report(self, count: int, asked: int, done: str, why_not: str) -> None:
        self.stdout.write(self.style.SUCCESS(f"{count} dead {'letter' if count == 1 else 'letters'} {done}."))
        if count < asked:
            raise CommandError(f"{asked - count} of {asked} not {done}: each {why_not}")


def get_layer(alias: str) -> Layer:
    """Return the layer of an alias.

    Raises:
        CommandError: there is none, or its dead letters are in another process.
    """
    try:
        layer = channel_layers[alias]
    except InvalidLayerSetting as error:
        raise CommandError(str(error)) from error
    if not layer.is_shared:
        raise CommandError(
            f"CHANNEL_LAYERS[{alias!r}] is a {type(layer).__name__}, which lives in the process that serves: its dead "
            "letters are in that process and end with it. Use a layer that processes share, such as "
            "fairway.layers.LocalLayer (URL 'local://')"
        )
    return layer


def _add(actions: Any, name: str, text: str, act: Callable[[Layer, dict[str, Any]], None]) -> CommandParser:
    parser: CommandParser = actions.add_parser(name, help=text, description=text)
    parser.set_defaults(act=act)
    parser.add_argument(
        "--layer",
        default=fairway.DEFAULT_CHANNEL_LAYER,
        metavar="ALIAS",
        help="Alias of the channel layer (%(default)s).",
    )
    return parser


def _add_channel(parser: CommandParser) -> None:
    parser.add_argument(
        "--channel", metavar="PATTERN", help="Only those of channels that match, such as 'websocket.*'."
    )


def _add_json(parser: CommandParser) -> None:
    parser.add_argument("--json", action="store_true", help="Write JSON, with nothing cut.")


def _find(layer: Layer, options: dict[str, Any]) -> list[DeadLetter]:
    pattern = options["channel"]
    return [letter for letter in layer.dead_letters(ALL) if pattern is None or fnmatchcase(letter.channel, pattern)]


def _ids(layer: Layer, options: dict[str, Any]) -> list[str]:
    """Return the ids that the options choose, the oldest first."""
    if bool(options["ids"]) == bool(options["all"]):
        raise CommandError("name the ids of some dead letters, or give --all (and --channel, to choose among all)")
    if options["ids"] and options["channel"]:
        raise CommandError("--channel chooses among --all; leave it out where you name ids")
    ids = options["ids"] or [letter.id for letter in reversed(_find(layer, options))]
    return list(dict.fromkeys(ids))
