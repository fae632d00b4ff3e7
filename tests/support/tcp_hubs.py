"""A hub for tests that also listens on a loopback address, without TLS or with it."""

from dataclasses import replace
from pathlib import Path

from fairway.layers.hub.address import HubAddress
from fairway.layers.hub.secret import SecretSource
from fairway.layers.hub.server import SILENCE, HubServer
from fairway.layers.hub.stranger import HELLO_TIMEOUT
from fairway.layers.hub.tcp_address import Access, TcpAddress
from fairway.layers.hub.tcp_doorway import TcpDoorway, TcpSettings
from fairway.limits import BrokerLimits
from tests.support.hubs import HubThread
from tests.support.redis import Certificates

SECRET = "correct horse battery staple"


class TcpHubThread(HubThread):
    """A running hub at a port of 127.0.0.1, which it keeps when it is started again; its files are in `folder`."""

    def __init__(
        self,
        folder: Path,
        limits: BrokerLimits | None = None,
        *,
        certificates: Certificates | None = None,
        silence: float = SILENCE,
        hello_timeout: float = HELLO_TIMEOUT,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.secret_file = folder / "secret"
        if not self.secret_file.exists():
            self.secret_file.write_text(f"{SECRET}\n")
        self._certificates = certificates
        self._hello_timeout = hello_timeout
        self._settings = TcpSettings(
            binds=("127.0.0.1:0",),
            certificate=str(certificates.certificate) if certificates else "",
            key=str(certificates.key) if certificates else "",
            secret=SecretSource(str(self.secret_file), "--hub-secret-file"),
        )
        self.doorway: TcpDoorway
        super().__init__(folder / "hub.sock", limits, silence=silence)
        self._settings = replace(self._settings, binds=(f"127.0.0.1:{self.place[1]}",))

    def make_hub(self) -> HubServer:
        """Return a hub with another end."""
        self.doorway = TcpDoorway(self._settings, self._hello_timeout)
        return HubServer(
            self.layer, HubAddress(path=self.path), self._versions, silence=self._silence, tcp=self.doorway
        )

    @property
    def place(self) -> tuple[str, int]:
        """Host and port."""
        host, _, port = self.doorway.bound[0].partition("://")[2].rpartition(":")
        return host, int(port)

    @property
    def access(self) -> Access:
        """How to get in."""
        ca = str(self._certificates.ca) if self._certificates else ""
        return Access(ca, SecretSource(str(self.secret_file)))

    @property
    def address(self) -> TcpAddress:
        """Where it is."""
        host, port = self.place
        return TcpAddress(host=host, port=port, is_tls=bool(self._certificates), access=self.access)
