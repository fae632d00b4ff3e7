"""`fairway serve` in one process: what it needs, what it tells, and how it stops."""

import json
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from fairway.errors import CannotListen, LayerUnavailable
from tests.supervisor.running import FAIRWAY, Project, get
from tests.support.processes import ROOT, free_port, running
from tests.support.redis import make_certificates
from tests.support.waiting import wait_until


def test_it_serves_with_a_worker_of_its_own_process(project):
    with project.serve() as server, project.worker():
        assert project.get() == (200, "one")
        with connect(project.ws) as client:
            client.send("hi")
            assert client.recv(10) == "one hi"
            server.process.terminate()
            with pytest.raises(ConnectionClosed) as closed:
                client.recv(10)
        assert server.process.wait(60) == 0
        assert "SIGTERM: stopping" in server.output()
    assert closed.value.rcvd.code == 1012
    assert not project.hub.exists()


def test_it_imports_no_django(project):
    """Looked at from inside, after a request and a WebSocket."""
    look = f"""
import sys
from fairway.cli import main
code = main({["serve", "--layer", project.url, "--bind", f"127.0.0.1:{project.port}", "--drain=0"]!r})
print("django:", [name for name in sys.modules if name.partition(".")[0] == "django"], code)
"""
    with running([sys.executable, "-c", look]) as server:
        server.wait_for_output("serving")
        with project.worker():
            assert project.get() == (200, "one")
            with connect(project.ws) as client:
                client.send("hi")
                assert client.recv(10) == "one hi"
        server.process.send_signal(signal.SIGINT)
        server.process.wait(60)
        assert "django: [] 0" in server.output()


def test_its_memory_when_idle(project):
    with project.serve() as server:
        lines = map(str.split, Path(f"/proc/{server.pid}/status").read_text().splitlines())
        resident = next(int(words[1]) for words in lines if words[0] == "VmRSS:")
    assert resident < 60 * 1024


def test_it_takes_as_many_descriptors_as_it_may_have(project):
    arguments = [*FAIRWAY, "serve", "--layer", project.url, "--bind", f"127.0.0.1:{project.port}"]
    with running(["sh", "-c", 'ulimit -S -n 300; exec "$@"', "sh", *arguments]) as server:
        server.wait_for_output("serving")
        lines = map(str.split, Path(f"/proc/{server.pid}/limits").read_text().splitlines())
        soft, hard = next(words[3:5] for words in lines if words[:3] == ["Max", "open", "files"])
    assert soft == hard


def test_a_second_signal_leaves_at_once(project):
    with (
        project.serve("--drain=60") as server,
        project.worker(),
        connect(project.ws) as one,
        connect(project.ws) as two,
    ):
        server.process.terminate()
        server.wait_for_output("closing 2 WebSockets")
        server.process.send_signal(signal.SIGINT)
        assert server.process.wait(60) == 128 + signal.SIGINT
        assert "SIGINT again: leaving at once" in server.output()
        del one, two


def test_the_access_log_is_opened_anew_after_a_hang_up(project):
    log = project.folder / "access.log"
    with project.serve("--access-log", str(log), "--access-log-format=json") as server, project.worker():
        project.get("/first")
        wait_until(lambda: "/first" in log.read_text(), "the first line")
        log.rename(log.with_suffix(".1"))
        server.process.send_signal(signal.SIGHUP)
        wait_until(log.exists, "a new file")
        project.get("/second")
        wait_until(log.read_text, "the second line")
    (line,) = log.read_text().splitlines()
    assert json.loads(line)["path"] == "/second"


def test_a_hang_up_without_an_access_log_changes_nothing(project):
    with project.serve() as server, project.worker():
        server.process.send_signal(signal.SIGHUP)
        assert project.get() == (200, "one")


def test_the_admin_endpoint(project):
    port = free_port()
    with project.serve(f"--admin-bind=127.0.0.1:{port}"):
        assert get(f"http://127.0.0.1:{port}/healthz") == (200, "ok\n")
        code, text = get(f"http://127.0.0.1:{port}/status")
    assert (code, json.loads(text)["connections"]) == (200, {"http": 0, "websocket": 0, "pending": 0})


def test_what_it_tells_at_its_control_socket(project):
    with project.serve() as server:
        status = project.status()
        assert (project.hub.parent / "hub.sock.ctl").stat().st_mode & 0o777 == 0o600
    assert (status["ok"], status["program"], status["pid"], status["ready"]) == (True, "serve", server.pid, True)
    assert status["layer"] == project.url
    assert [(one["name"], one["state"], one["connections"]) for one in status["processes"]] == [("server", "ready", 0)]
    assert status["server"]["layer"]["sessions"] == 0


def test_systemd_sockets_and_notifications(project):
    """As systemd starts it: descriptor 3 listens already, and a socket waits for READY=1."""
    with socket.create_server(("127.0.0.1", 0)) as ready, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as told:
        address = str(project.folder / "notify")
        told.bind(address)
        told.settimeout(20)
        before = f"""
import os, sys
os.dup2({ready.fileno()}, 3)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS="1", NOTIFY_SOCKET={address!r}, WATCHDOG_USEC="100000")
os.execv(sys.executable, {[*FAIRWAY, "serve", "--layer", project.url]!r})
"""
        with subprocess.Popen([sys.executable, "-c", before], pass_fds=[ready.fileno()], cwd=ROOT) as server:
            seen = {told.recv(100) for _ in range(4)}
            assert seen == {b"READY=1\n", b"WATCHDOG=1\n"}
            with project.worker():
                assert get(f"http://127.0.0.1:{ready.getsockname()[1]}/") == (200, "one")
            server.terminate()
            while told.recv(100) != b"STOPPING=1\n":
                pass
            assert server.wait(20) == 0


def test_a_second_server_of_a_project_takes_no_port(project):
    with project.serve() as server:
        done = project.fairway("serve", "--layer", project.url, "--bind=127.0.0.1:0")
    assert (done.returncode, done.stdout) == (1, "")
    assert f"fairway serve: another hub lives at {project.hub} (process {server.pid})" in done.stderr
    assert issubclass(LayerUnavailable, Exception)


def test_a_port_in_use(project):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        done = project.fairway("serve", "--layer", project.url, f"--bind=127.0.0.1:{taken.getsockname()[1]}")
    assert done.returncode == 1
    assert "address in use: another process listens" in done.stderr
    assert not project.hub.exists()
    assert issubclass(CannotListen, Exception)


def test_an_access_log_that_cannot_be_opened(project):
    done = project.fairway("serve", "--layer", project.url, "--access-log=/nonexistent/log")
    assert done.returncode == 1
    assert "fairway serve: access log '/nonexistent/log' cannot be opened" in done.stderr


SECRET = "correct horse battery staple"


@pytest.mark.parametrize("processes", [1, 2])
def test_workers_on_other_hosts(project, processes):
    """With TLS: their hub's certificate is checked, and both know the secret, here from a file, there a variable."""
    certificates, secret, port = make_certificates(project.folder), project.folder / "secret", free_port()
    secret.write_text(f"{SECRET}\n")
    options = [
        f"--hub-bind=127.0.0.1:{port}",
        f"--hub-certificate={certificates.certificate}",
        f"--hub-key={certificates.key}",
        f"--hub-secret-file={secret}",
        f"--processes={processes}",
    ]
    with project.serve(*options) as server:
        assert f"layer {project.url}, open to other hosts at tcp+tls://127.0.0.1:{port}" in server.output()
        project.print_layer(f"tcp+tls://localhost:{port}?ca={certificates.ca}")
        with project.worker(FAIRWAY_HUB_SECRET=SECRET), connect(project.ws) as client:
            client.send("hi")
            assert client.recv(10) == "one hi"
            hub = project.status()["server"]["hub"]
            assert hub["listening"] == [f"tcp+tls://127.0.0.1:{port}"]
            assert (hub["lines"] >= 1, hub["refused"]) == (True, 0)
            shown = project.fairway("status", "--layer", project.url).stdout
            assert f"hub      open to other hosts at tcp+tls://127.0.0.1:{port}; " in shown
        with project.worker(FAIRWAY_HUB_SECRET="another secret, quite long") as worker:
            wait_until(lambda: "it does not know the secret; is it the one of this hub?" in server.output())
            wait_until(lambda: project.status()["server"]["hub"]["refused"])
            worker.process.kill()


def test_a_hub_that_is_open_to_all_does_not_start(project):
    done = project.fairway("serve", "--layer", project.url, "--bind=127.0.0.1:0", "--hub-bind=0.0.0.0:7400")
    assert done.returncode == 1
    assert "--hub-bind 0.0.0.0:7400 is open to other hosts, and without TLS" in done.stderr
    assert not project.hub.exists()


def test_an_address_of_the_hub_that_is_in_use(project):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        place = f"127.0.0.1:{taken.getsockname()[1]}"
        (project.folder / "secret").write_text(SECRET)
        done = project.fairway(
            "serve", "--layer", project.url, "--bind=127.0.0.1:0", f"--hub-bind={place}", "--hub-secret-file=secret"
        )
    assert done.returncode == 1
    assert f"no hub can be opened at {place}" in done.stderr


def test_one_worker_for_two_servers(project, tmp_path_factory):
    """One of them is killed and comes back; the sockets of the other do not notice, and new ones of it work again."""
    other = Project(tmp_path_factory.mktemp("q"))
    secret = project.folder / "secret"
    secret.write_text(SECRET)
    ports = [free_port(), free_port()]
    options = [[f"--hub-bind=127.0.0.1:{port}", f"--hub-secret-file={secret}"] for port in ports]
    project.print_layer(f"tcp://127.0.0.1:{ports[0]},127.0.0.1:{ports[1]}?secret_file={secret}")
    with (
        project.serve(*options[0]) as server,
        project.worker(),
        other.serve(*options[1]),
        connect(other.ws) as stays,
    ):
        with connect(project.ws) as client:
            for each, text in ((stays, "1"), (client, "2")):
                each.send(text)
                assert each.recv(10) == f"one {text}"
        server.process.kill()
        server.process.wait()
        stays.send("3")
        assert stays.recv(10) == "one 3"
        with project.serve(*options[0]), connect(project.ws) as again:
            again.send("4")
            assert again.recv(10) == "one 4"
            stays.send("5")
            assert stays.recv(10) == "one 5"


def test_hubs_of_two_hosts(project, tmp_path_factory):
    """A host without workers is served by another; the upstream between them is killed, and comes back empty."""
    shared, other = Project(tmp_path_factory.mktemp("u")), Project(tmp_path_factory.mktemp("o"))
    for host in (project, other):
        host.url += f"?upstream={shared.url}"

    def is_up():
        return project.status()["server"]["layer"]["upstream"]["up"]

    with (
        shared.serve() as upstream,
        project.serve(),
        other.serve(),
        project.worker(),
        connect(project.ws) as near,
        connect(other.ws, open_timeout=30) as far,
    ):
        for each, text in ((near, "1"), (far, "2")):
            each.send(text)
            assert each.recv(30) == f"one {text}"
        assert is_up()
        upstream.process.kill()
        upstream.process.wait()
        near.send("3")
        assert near.recv(10) == "one 3"
        wait_until(lambda: not is_up(), "the upstream to be missed")
        far.send("4")
        with shared.serve():
            wait_until(is_up, "the upstream to be back")
            assert far.recv(30) == "one 4"
            near.send("5")
            assert near.recv(10) == "one 5"
        shown = project.fairway("status", "--layer", project.url).stdout
        assert f"layer    {project.url}" in shown
        assert "upstream " in shown
