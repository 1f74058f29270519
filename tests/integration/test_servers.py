"""`curate up`, `down` and `status` with the real servers, and processes that are started, found and stopped."""

import json
import os
import socket
import subprocess
import sys

import httpx
import psutil
import pytest
from attrs import asdict, evolve
from fixtures_labelstudio import fill_workspace, find_free_port

from curation.config import Config, create_workspace
from curation.labelstudio.account import Account, find_account, load_account, make_account, save_account
from curation.labelstudio.server import build_environment, plan_banned_subnets
from curation.processes import ServerRecord, check_port, find_server, launch_server, stop_server, wait_until
from curation.servers import SERVERS, read_status, start_servers
from schemas.errors import FormatError, ServerError
from schemas.files import write_text

CLI = [sys.executable, "-c", "from curation.cli import main; main()"]
SERVE = "import http.server as h, sys; h.HTTPServer(('127.0.0.1', int(sys.argv[1])), h.SimpleHTTPRequestHandler).serve_forever()"


@pytest.fixture
def workspace(tmp_path):
    ports = {"label_studio": find_free_port(), "backend": find_free_port(), "fiftyone": find_free_port()}
    workspace = create_workspace(tmp_path / "w", Config(ports=ports))
    yield workspace
    for name in (*SERVERS, "test"):
        stop_server(workspace, name)


@pytest.fixture
def taken():
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def test_a_server_outlives_its_starter_and_is_found_and_stopped(workspace):
    port = find_free_port()
    record = launch_server(workspace, "test", [sys.executable, "-c", SERVE, str(port)], port=port)
    wait_until(workspace, record, lambda: not _is_free(port), seconds=30, progress=lambda line: None)
    assert find_server(workspace, "test") == record
    assert os.getpgid(record.pid) == record.pid
    assert stop_server(workspace, "test")
    assert not psutil.pid_exists(record.pid) or psutil.Process(record.pid).status() == psutil.STATUS_ZOMBIE
    assert find_server(workspace, "test") is None
    assert not stop_server(workspace, "test")
    assert _is_free(port)


def _is_free(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0


def test_a_process_that_is_not_ours_any_more_is_left_alone(workspace):
    stranger = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    try:
        record = ServerRecord(name="test", pid=stranger.pid, created=1.0, port=1234, url="http://127.0.0.1:1234")
        write_text(workspace.root / "servers" / "test.json", json.dumps(asdict(record)))
        assert find_server(workspace, "test") is None
        assert not stop_server(workspace, "test")
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


@pytest.mark.parametrize("text", ["", "{", "[]", '{"pid": 1}'])
def test_a_damaged_record_counts_as_none(workspace, text):
    write_text(workspace.root / "servers" / "test.json", text)
    assert find_server(workspace, "test") is None


def test_a_server_that_dies_is_told_with_its_last_line(workspace):
    port = find_free_port()
    record = launch_server(workspace, "test", [sys.executable, "-c", "raise SystemExit('no luck today')"], port=port)
    with pytest.raises(ServerError, match="stopped while starting: no luck today"):
        wait_until(workspace, record, lambda: False, seconds=30, progress=lambda line: None)
    assert not (workspace.root / "servers" / "test.json").exists()


def test_a_server_that_does_not_answer_is_stopped(workspace):
    port = find_free_port()
    record = launch_server(workspace, "test", [sys.executable, "-c", "import time; time.sleep(60)"], port=port)
    with pytest.raises(ServerError, match="did not answer within 1 s"):
        wait_until(workspace, record, lambda: False, seconds=1, progress=lambda line: None)
    assert find_server(workspace, "test") is None
    assert not psutil.pid_exists(record.pid) or psutil.Process(record.pid).status() == psutil.STATUS_ZOMBIE


def test_a_program_that_is_not_there_is_one_line(workspace):
    with pytest.raises(ServerError, match="could not be started: No such file"):
        launch_server(workspace, "test", ["/no/such/program"], port=find_free_port())


def test_a_port_in_use_says_who_has_it(taken):
    with pytest.raises(
        ServerError, match=rf"port {taken} is in use by process {os.getpid()} .* set ports.label_studio in curate.toml"
    ):
        check_port("label-studio", taken)


@pytest.mark.parametrize("name", ["label_studio", "backend", "fiftyone"])
def test_up_with_a_port_in_use_starts_nothing(tmp_path, taken, name):
    ports = {"label_studio": find_free_port(), "backend": find_free_port(), "fiftyone": find_free_port(), name: taken}
    workspace = create_workspace(tmp_path / "w", Config(ports=ports))
    done = subprocess.run([*CLI, "up", "-w", workspace.root], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert len(done.stderr.strip().splitlines()) == 1
    assert f"port {taken} is in use" in done.stderr
    assert not list((workspace.root / "servers").iterdir())


def test_a_server_that_fails_takes_the_others_down_with_it(workspace, monkeypatch):
    import curation.servers

    plan = curation.servers._plan_command

    def broken(workspace, name, port):
        command = plan(workspace, name, port)
        return [sys.executable, "-c", "raise SystemExit('broken')"] if name == "fiftyone" else command

    monkeypatch.setattr(curation.servers, "_plan_command", broken)
    monkeypatch.setattr(curation.servers, "SERVERS", ("backend", "fiftyone"))
    with pytest.raises(ServerError, match=r"fiftyone at .* stopped while starting: broken"):
        start_servers(workspace)
    assert [entry.running for entry in read_status(workspace)] == [False, False]


def test_accounts_are_secret_random_and_checked(workspace, monkeypatch):
    assert find_account(workspace) is None
    with pytest.raises(ServerError, match="was never started for this workspace"):
        load_account(workspace)
    first, second = (make_account("http://127.0.0.1:1", workspace.root) for _ in range(2))
    assert first.password != second.password
    assert first.token != second.token
    save_account(workspace, first)
    path = workspace.root / "servers" / "label-studio.account.json"
    assert path.stat().st_mode & 0o777 == 0o600
    assert load_account(workspace) == first
    assert first.token not in repr(first)
    monkeypatch.setenv("CURATE_LABEL_STUDIO_TOKEN", "other")
    assert load_account(workspace) == evolve(first, token="other")
    for text in ("{", "[1]", '{"url": "x"}'):
        path.write_text(text)
        with pytest.raises(FormatError, match=r"account\.json"):
            find_account(workspace)


def test_label_studios_environment_is_ours_alone(tmp_path, monkeypatch):
    monkeypatch.setenv("LABEL_STUDIO_PASSWORD", "from the shell")
    monkeypatch.setenv("HEARTEX_COLLECT_ANALYTICS", "true")
    monkeypatch.setenv("HOST", "evil.example")
    account = Account(url="u", user="a@b.c", password="pw", token="t" * 40, document_root="/media")
    found = build_environment(tmp_path, account)
    assert found["LABEL_STUDIO_PASSWORD"] == "pw"
    assert "HEARTEX_COLLECT_ANALYTICS" not in found
    assert "HOST" not in found
    expected = {"COLLECT_ANALYTICS": "false", "SENTRY_DSN": "", "FRONTEND_SENTRY_DSN": "", "LATEST_VERSION_CHECK": "false"}
    expected |= {"DISABLE_SIGNUP_WITHOUT_LINK": "true", "SSRF_PROTECTION_ENABLED": "true", "ML_BLOCK_LOCAL_IP": "true"}
    assert {name: found[f"LABEL_STUDIO_{name}"] for name in expected} == expected
    assert "LABEL_STUDIO_PASSWORD" not in build_environment(tmp_path)


def test_every_reserved_address_but_one_is_banned():
    import ipaddress

    networks = [ipaddress.ip_network(text) for text in plan_banned_subnets()]
    banned = lambda text: any(ipaddress.ip_address(text) in network for network in networks)  # noqa: E731
    assert not banned("127.0.0.1")
    for address in (
        "127.0.0.2",
        "127.0.0.0",
        "127.255.255.255",
        "0.0.0.0",
        "10.0.0.1",
        "169.254.169.254",
        "192.168.1.1",
        "::1",
        "fd00::1",
    ):
        assert banned(address), address
    assert not banned("93.184.216.34")


@pytest.mark.integration
def test_up_status_down(workspace):
    catalogue, _ = fill_workspace(workspace)
    catalogue.close()
    done = subprocess.run([*CLI, "up", "-w", workspace.root], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip().splitlines()[-1] == "3 of 3 servers run"
    account = find_account(workspace)
    for entry in read_status(workspace):
        assert entry.healthy
        assert entry.url in done.stdout
        assert entry.url.startswith("http://127.0.0.1:")
    assert f"user {account.user}  password {account.password}" in done.stdout
    for entry in read_status(workspace):
        family = [psutil.Process(entry.pid), *psutil.Process(entry.pid).children(recursive=True)]
        listening = [c.laddr.ip for p in family for c in p.net_connections("inet") if c.status == psutil.CONN_LISTEN]
        assert set(listening) == {"127.0.0.1"}
    again = subprocess.run([*CLI, "up", "--json", "-w", workspace.root], capture_output=True, text=True, check=True)
    assert {name: s["pid"] for name, s in json.loads(again.stdout)["servers"].items()} == {
        entry.name: entry.pid for entry in read_status(workspace)
    }
    pushed = subprocess.run([*CLI, "label", "push", "--json", "-w", workspace.root], capture_output=True, text=True, check=True)
    told = json.loads(pushed.stdout)
    assert (told["created"], told["backend"]) == (2, True)
    status = subprocess.run([*CLI, "status", "--json", "-w", workspace.root], capture_output=True, text=True, check=True)
    data = json.loads(status.stdout)
    assert data["work"] == {"clips": 1, "lost_frames": 0, "tubelets": 6, "proposals": 6, "labelled": 0, "verdicts": 0}
    assert data["login"]["password"] == account.password
    down = subprocess.run([*CLI, "down", "-w", workspace.root], capture_output=True, text=True, check=True)
    assert down.stdout.strip() == "stopped label-studio, fiftyone, backend"
    assert not any(entry.running for entry in read_status(workspace))
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{account.url}/health")
    push = subprocess.run([*CLI, "label", "push", "-w", workspace.root], capture_output=True, text=True, check=False)
    assert push.returncode == 1
    assert push.stderr.strip().splitlines()[-1].endswith("does not answer; start it with `curate up`")
    assert (
        subprocess.run([*CLI, "down", "-w", workspace.root], capture_output=True, text=True, check=True).stdout
        == "nothing was running\n"
    )
