"""`fairway up`, `reload` and `status`: a deploy under an open socket, code that does not start, restarts, a stop."""

import json
import os
import signal
from contextlib import contextmanager

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from tests.supervisor.running import FAIRWAY, is_alive, wait_gone
from tests.support.processes import free_port, running
from tests.support.waiting import wait_until


@contextmanager
def up(project, *options, ready="workers are ready"):
    arguments = [*FAIRWAY, "up", f"--bind=127.0.0.1:{project.port}", "--drain=0", "--workers=2", *options]
    with running(arguments, cwd=project.folder) as program:
        if ready:
            program.wait_for_output(ready)
        yield program


def talk(client, text="hi"):
    client.send(text)
    return client.recv(20)


def test_a_deploy_under_an_open_socket(project):
    with up(project) as program, connect(project.ws) as client:
        assert talk(client) == "one hi"
        old = [one["pid"] for one in project.status()["workers"]]
        server = project.status()["processes"][0]["pid"]
        project.deploy("echo two")
        done = project.fairway("reload", "--layer", project.url)
        assert (done.returncode, done.stderr) == (0, "")
        assert "worker-3, worker-4 ready; the old ones finish" in done.stdout
        assert done.stdout.endswith("all old workers are gone\n")
        assert talk(client) == "two hi"
        assert not any(map(is_alive, old))
        project.deploy("echo three")
        program.process.send_signal(signal.SIGHUP)
        wait_until(lambda: program.output().count("all old workers are gone") == 2, "the second deploy", 20)
        assert talk(client) == "three hi"
        assert project.status()["processes"][0]["pid"] == server


def test_code_that_does_not_start_changes_nothing(project):
    with up(project, "--start-timeout=20") as program, connect(project.ws) as client:
        project.deploy("fail invalid syntax here")
        done = project.fairway("reload", "--layer", project.url)
        assert done.returncode == 1
        assert "the new code does not start, the old workers stay: worker-" in done.stderr
        assert "SyntaxError: invalid syntax here" in done.stderr
        assert talk(client) == "one hi"
        assert [one["state"] for one in project.status()["workers"]] == ["ready", "ready"]
        assert "SyntaxError: invalid syntax here" in program.output()
        program.process.send_signal(signal.SIGHUP)
        wait_until(lambda: program.output().count("the old workers stay") == 2, "the second try", 20)


def test_code_that_is_never_ready(project):
    with up(project, "--start-timeout=4"):
        project.deploy("hang")
        done = project.fairway("reload", "--layer", project.url)
        assert done.returncode == 1
        assert "was not ready within 4 s" in done.stderr
        assert project.get() == (200, "one")


def test_a_deploy_waits_for_what_runs_and_says_so(project):
    project.deploy("slow one")
    with up(project) as program, connect(project.ws) as client:
        client.send("hi")
        wait_until(lambda: _leased(project) == 1, "the consumer")
        project.deploy("echo two")
        program.process.send_signal(signal.SIGHUP)
        program.wait_for_output("waiting for worker-", 30)
        with connect(project.ws) as other:
            assert talk(other) == "two hi"
        project.folder.joinpath("go").touch()
        assert client.recv(20) == "one hi"
        program.wait_for_output("all old workers are gone")
        assert talk(client) == "two hi"


def _leased(project):
    layer = project.status()["server"]["layer"]
    return layer["delivered"] - layer["committed"]


def test_what_dies_is_started_again(project):
    with up(project) as program:
        status = project.status()
        worker, server = status["workers"][0]["pid"], status["processes"][0]["pid"]
        os.kill(worker, signal.SIGKILL)
        wait_until(lambda: project.status()["workers"][0]["restarts"] == 1, "another worker")
        os.kill(server, signal.SIGKILL)
        wait_until(lambda: project.status()["ready"] and project.status()["processes"][0]["pid"] != server, "all", 20)
        assert project.get() == (200, "one")
        assert "server ended" in program.output()


def test_a_stop_lets_requests_finish_and_closes_sockets_with_1012(project):
    with up(project) as program, connect(project.ws) as client:
        pids = [one["pid"] for kind in ("workers", "processes") for one in project.status()[kind]]
        program.process.terminate()
        with pytest.raises(ConnectionClosed) as closed:
            client.recv(20)
        assert program.process.wait(30) == 0
    assert closed.value.rcvd.code == 1012
    assert not any(map(is_alive, pids))


def test_a_second_signal_kills_everything(project):
    with up(project, "--drain=60") as program, connect(project.ws), connect(project.ws):
        pids = [one["pid"] for kind in ("workers", "processes") for one in project.status()[kind]]
        program.process.terminate()
        program.wait_for_output("closing 2 WebSockets")
        program.process.terminate()
        assert program.process.wait(60) == 128 + signal.SIGTERM
        for pid in pids:
            wait_gone(pid)


def test_a_killed_supervisor_takes_its_workers_and_leaves_the_server(project):
    with up(project) as program, connect(project.ws) as client:
        status = project.status()
        server = status["processes"][0]["pid"]
        program.process.kill()
        program.process.wait()
        for one in status["workers"]:
            wait_gone(one["pid"])
        assert is_alive(server)
        with project.worker():
            assert talk(client) == "one hi"
        done = project.fairway("up", "--bind=127.0.0.1:0")
        assert done.returncode == 1
        assert f"still holds its sockets (process {server})" in done.stderr


def test_options_reach_the_workers(project):
    options = [
        "--threads=3",
        "--view-threads=5",
        "--only-channels=http.*",
        "--settings=shop.live",
        "--grace=7",
        "--processes=2",
    ]
    with up(project, *options) as program:
        said = "--processes=1 --threads=3 --view-threads=5 --grace=7.0 --only-channels=http.* shop.live"
        assert f"worker-1 | arguments: runworker {said}" in program.output()
        assert len(project.status()["processes"]) == 2


def test_first_workers_that_do_not_start_end_it_all(project):
    project.deploy("fail nonsense")
    with up(project, ready="") as program:
        assert program.process.wait(60) == 1
        assert "fairway up: worker-" in program.output()
        assert "SyntaxError: nonsense" in program.output()
    assert not project.hub.exists()


def test_a_stop_while_it_starts(project):
    project.deploy("hang")
    with up(project, ready="serving") as program:
        program.process.terminate()
        assert program.process.wait(30) == 0


def test_server_and_project_must_mean_the_same_layer(project):
    with up(project, f"--layer=local://{project.folder}/other.sock", ready="") as program:
        assert program.process.wait(30) == 1
        assert f"--layer is local://{project.folder}/other.sock" in program.output()
        assert f"the project's CHANNEL_LAYERS name {project.url}" in program.output()


def pid_of_delay(project):
    (one,) = project.status()["delay_servers"]
    return one["pid"]


def _states(project):
    return [(one["name"], one["state"], one["restarts"]) for one in project.status()["delay_servers"]]


def test_a_project_with_delayed_messages_gets_a_delay_server(project):
    project.have_delay(installed=True)
    with up(project, "--settings=shop.live", ready="delay-1 is ready") as program:
        assert "delay-1 | delay server with one shop.live rundelay\n" in program.output()
        os.kill(pid_of_delay(project), signal.SIGKILL)
        wait_until(lambda: _states(project) == [("delay-1", "ready", 1)], "another one", 20)
        second = pid_of_delay(project)
        shown = project.fairway("status", "--layer", project.url).stdout.splitlines()
        assert shown[-1].split()[:4] == ["delay-1", str(second), "ready", "1"]
        project.deploy("echo two")
        said = project.fairway("reload", "--layer", project.url).stdout
        order = ("all old workers are gone", "delay-2 ready; the old ones finish", "all old delay servers are gone")
        places = [said.index(text) for text in order]
        assert places == sorted(places)
        assert not is_alive(second)
        assert "delay-2 | delay server with two" in program.output()
        program.process.terminate()
        assert program.process.wait(30) == 0
        assert "delay-2 ended" not in program.output()


def test_a_delay_server_that_does_not_start_keeps_nobody_waiting(project):
    project.have_delay(installed=True)
    project.deploy("unmigrated code")
    with up(project) as program:
        program.wait_for_output("delay-1 | CommandError: manage.py migrate")
        assert project.get() == (200, "code")
        assert project.status()["ready"] is False
        shown = project.fairway("status", "--layer", project.url)
        assert (shown.returncode, "NOT READY" in shown.stdout) == (1, True)
        wait_until(lambda: "CommandError" in project.status()["delay_servers"][0]["status"], "the reason in the status")
        project.deploy("echo code")
        wait_until(lambda: project.status()["ready"], "the delay server", 20)


def test_a_deploy_may_bring_delayed_messages_and_take_them_away(project):
    with up(project) as program:
        assert project.status()["delay_servers"] == []
        project.deploy("unmigrated code")
        project.have_delay(installed=True)
        done = project.fairway("reload", "--layer", project.url)
        assert done.returncode == 1
        assert "the new code does not start, the old delay servers stay: delay-1 " in done.stderr
        assert "CommandError: manage.py migrate" in done.stderr
        assert project.status()["ready"] is False  # nobody delivers them
        project.deploy("echo two")
        program.process.send_signal(signal.SIGHUP)
        wait_until(lambda: project.status()["ready"], "the delay server", 20)
        delay = pid_of_delay(project)
        project.have_delay(installed=False)
        assert project.fairway("reload", "--layer", project.url).returncode == 0
        assert (project.status()["ready"], project.status()["delay_servers"]) == (True, [])
        assert not is_alive(delay)


def test_a_project_that_no_longer_answers_keeps_its_delay_server(project):
    project.have_delay(installed=True)
    with up(project, ready="delay-1 is ready"):
        delay = pid_of_delay(project)
        project.deploy("mute")
        done = project.fairway("reload", "--layer", project.url)
        assert done.returncode == 1
        assert "the workers have the new code, but nobody could ask it for delayed messages" in done.stderr
        assert pid_of_delay(project) == delay


def test_delay_servers_may_run_elsewhere(project):
    project.have_delay(installed=True)
    with up(project, "--delay-servers=0"):
        assert project.fairway("reload", "--layer", project.url).returncode == 0
        assert project.status()["delay_servers"] == []


def test_a_killed_supervisor_takes_its_delay_servers_too(project):
    project.have_delay(installed=True)
    with up(project, "--delay-servers=2", ready="delay-2 is ready") as program:
        pids = [one["pid"] for one in project.status()["delay_servers"]]
        assert len(pids) == 2
        program.process.kill()
        for pid in pids:
            wait_gone(pid)


def test_what_a_person_sees(project):
    with up(project):
        shown = project.fairway("status", "--layer", project.url)
        assert shown.returncode == 0
        assert [line.split()[:1] for line in shown.stdout.splitlines()[-3:]] == [["server"], ["worker-1"], ["worker-2"]]
        # In the project's folder it is found without being named.
        assert project.fairway("status").returncode == 0
        machine = project.fairway("status", "--layer", project.url, "--json")
        assert json.loads(machine.stdout)["program"] == "up"
    for command in ("status", "reload"):
        done = project.fairway(command, "--layer", project.url)
        assert (done.returncode, done.stdout) == (3, "")
        assert f"nobody answers at {project.hub}.ctl" in done.stderr


def test_its_hub_is_open_to_workers_on_other_hosts(project):
    """The options go to the server; its own workers stay on the Unix socket."""
    port, secret = free_port(), project.folder / "secret"
    secret.write_text("correct horse battery staple")
    with up(project, f"--hub-bind=127.0.0.1:{port}", f"--hub-secret-file={secret}"), connect(project.ws) as client:
        assert talk(client) == "one hi"
        lines = project.status()["server"]["hub"]["lines"]
        project.print_layer(f"tcp://127.0.0.1:{port}?secret_file={secret}")
        with project.worker():
            wait_until(lambda: project.status()["server"]["hub"]["lines"] == lines + 1, "its line")
        shown = project.fairway("status", "--layer", project.url).stdout
        assert f"hub      open to other hosts at tcp://127.0.0.1:{port}; " in shown
