"""Where the secret of hubs and their clients on other hosts comes from: a file, or the environment.

It is never part of a URL or a setting, which end up in logs and in what debuggers show. A file is read again when it
has changed, so a secret is replaced without a restart: first every hub knows both, then the clients take the new one,
then the hubs forget the old one.
"""

import os
from dataclasses import dataclass
from pathlib import Path

from fairway.errors import InvalidLayerSetting
from fairway.wire.hub_secret import SecretUnusable, parse_secrets

VARIABLE = "FAIRWAY_HUB_SECRET"
LARGEST = 4096
"""Bytes of a file that may be one of secrets."""


@dataclass(frozen=True, slots=True)
class SecretSource:
    """A file with secrets; without one (`""`) the environment variable.

    Parameters:
        file: the path.
        setting: how the file is named where it is set, for messages.
    """

    file: str = ""
    setting: str = "secret_file"

    def read(self) -> tuple[str, ...]:
        """Return the secrets as they are now, the one to offer first.

        Raises:
            InvalidLayerSetting: there is none that can be used.
        """
        if not self.file:
            text, where = os.environ.get(VARIABLE, ""), f"the environment variable {VARIABLE}"
            if not text.strip():
                msg = f"there is no secret for hubs over TCP; set {VARIABLE}, or name a file with one: {self.setting}"
                raise InvalidLayerSetting(msg)
        else:
            text, where = self._read_file(), f"{self.setting} = {self.file!r}"
        try:
            return parse_secrets(text)
        except SecretUnusable as error:
            msg = f"{where} {error}"
            raise InvalidLayerSetting(msg) from None

    def _read_file(self) -> str:
        try:
            with Path(self.file).open("rb") as file:
                return file.read(LARGEST).decode()
        except OSError as error:
            msg = f"{self.setting} = {self.file!r} cannot be read: {error.strerror}; it holds the secret in one line"
            raise InvalidLayerSetting(msg) from error
        except UnicodeDecodeError:
            msg = f"{self.setting} = {self.file!r} is no text; it holds the secret in one line"
            raise InvalidLayerSetting(msg) from None
