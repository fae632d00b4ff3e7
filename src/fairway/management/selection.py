"""Which of an application's channels a worker reads: names and patterns, to take some in or to leave some out."""

from collections.abc import Collection, Iterable, Sequence
from fnmatch import fnmatchcase

from django.core.management.base import CommandError


def split_patterns(given: Iterable[str] | None) -> list[str]:
    """Return the patterns of an option that may be repeated and may hold several, with commas between them."""
    return [part.strip() for text in given or () for part in text.split(",") if part.strip()]


def select_channels(channels: Collection[str], only: Sequence[str] = (), exclude: Sequence[str] = ()) -> list[str]:
    """Return the channels to read, in order.

    Parameters:
        channels: all there are.
        only: patterns (`*`, `?`, `[abc]`); what matches none of them is left out. All when empty.
        exclude: patterns of channels that are left out.

    Raises:
        CommandError: a pattern matches no channel, or no channel is left.
    """
    for option, patterns in (("--only-channels", only), ("--exclude-channels", exclude)):
        for pattern in patterns:
            if not _matching(channels, [pattern]):
                msg = f"{option} {pattern!r} matches no channel; the routing has {_listed(channels)}"
                raise CommandError(msg)
    selected = set(_matching(channels, only) if only else channels) - set(_matching(channels, exclude))
    if not selected:
        msg = f"--only-channels and --exclude-channels leave no channel to read; the routing has {_listed(channels)}"
        raise CommandError(msg)
    return sorted(selected)


def _matching(channels: Iterable[str], patterns: Sequence[str]) -> list[str]:
    return [name for name in channels if any(fnmatchcase(name, pattern) for pattern in patterns)]


def _listed(channels: Iterable[str]) -> str:
    return ", ".join(sorted(channels))
