"""One mongod for each workspace: shared by processes, never between workspaces, gone with the last of them."""

import os
import signal
import subprocess
import sys
import textwrap
import time

import psutil
import pytest

from curation.config import create_workspace
from curation.review.mongo import join_mongod, leave_mongod, read_mongod, stop_mongod
from schemas.errors import ServerError

pytestmark = pytest.mark.integration

CLIENT = """
    import sys
    from pathlib import Path
    from curation.review.mongo import join_mongod
    print(join_mongod(Path(sys.argv[1])), flush=True)
    sys.stdin.read()
"""


def start_client(servers):
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(CLIENT), str(servers)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    return process, process.stdout.readline().strip()


def end_client(process):
    process.stdin.close()
    process.wait(30)
    process.stdout.close()


def find_pid(servers):
    return int((servers / "mongo" / "mongod.lock").read_text())


def test_two_processes_share_it_and_the_last_one_stops_it(tmp_path):
    servers = tmp_path / "servers"
    first, address = start_client(servers)
    second, same = start_client(servers)
    assert address.startswith("mongodb://127.0.0.1:")
    assert same == address
    end_client(first)
    assert read_mongod(servers) == address
    end_client(second)
    assert read_mongod(servers) is None


def test_two_workspaces_have_one_each_and_listen_on_loopback_only(tmp_path):
    one, two = tmp_path / "one", tmp_path / "two"
    try:
        assert join_mongod(one) != join_mongod(two)
        for servers in (one, two):
            listening = [c for c in psutil.Process(find_pid(servers)).net_connections() if c.status == psutil.CONN_LISTEN]
            assert [c.laddr.ip for c in listening] == ["127.0.0.1"]
    finally:
        leave_mongod(one)
        leave_mongod(two)
    assert read_mongod(one) is read_mongod(two) is None


def test_one_left_by_a_killed_process_is_used_again_and_stopped(tmp_path):
    servers = tmp_path / "servers"
    client, address = start_client(servers)
    os.kill(client.pid, signal.SIGKILL)
    client.wait()
    client.stdin.close()
    client.stdout.close()
    assert read_mongod(servers) == address
    assert join_mongod(servers) == address
    leave_mongod(servers)
    assert read_mongod(servers) is None


def test_it_starts_again_after_it_was_killed(tmp_path):
    servers = tmp_path / "servers"
    try:
        join_mongod(servers)
        os.kill(find_pid(servers), signal.SIGKILL)
        deadline = time.monotonic() + 10
        while read_mongod(servers) and time.monotonic() < deadline:
            time.sleep(0.05)
        again = join_mongod(servers)
        assert read_mongod(servers) == again
    finally:
        leave_mongod(servers)


def test_stop_stops_it_for_everybody(tmp_path):
    servers = tmp_path / "servers"
    client, _ = start_client(servers)
    assert stop_mongod(servers) is True
    assert stop_mongod(servers) is False
    assert read_mongod(servers) is None
    end_client(client)


def test_a_data_folder_that_mongod_refuses_is_one_clear_line(tmp_path):
    servers = tmp_path / "servers"
    (servers / "mongo").mkdir(parents=True)
    (servers / "mongo" / "WiredTiger").write_text("not a database")
    (servers / "mongo" / "WiredTiger.turtle").write_text("garbage")
    with pytest.raises(ServerError, match=r"MongoDB at 127\.0\.0\.1:\d+: ended with code -?\d+ at its start; see .*mongo\.log"):
        join_mongod(servers)


ENVIRONMENT = """
    import json, os, sys
    from curation.config import open_workspace
    from curation.review.environment import prepare_fiftyone
    from schemas.errors import CurationError
    try:
        prepare_fiftyone(open_workspace(sys.argv[1]))
        import fiftyone as fo
        print(json.dumps({"names": fo.list_datasets(), "track": fo.config.do_not_track, "plugins": fo.config.plugins_dir,
                          "address": fo.config.default_app_address, "uri": fo.config.database_uri}))
        fo.Dataset(os.path.basename(sys.argv[1]), persistent=True, overwrite=True)
        prepare_fiftyone(open_workspace(sys.argv[1]))
        prepare_fiftyone(open_workspace(sys.argv[2]))
    except CurationError as error:
        print(type(error).__name__, error)
"""


def run_environment(first, second, home, **environment):
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(ENVIRONMENT), str(first), str(second)],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
        env={**os.environ, "HOME": str(home), **environment},
    ).stdout.splitlines()


def test_a_process_sees_its_workspace_only_and_nothing_of_the_users_home(tmp_path):
    one, two = (create_workspace(tmp_path / name).root for name in ("one", "two"))
    home = tmp_path / "home"
    (home / ".fiftyone").mkdir(parents=True)
    (home / ".fiftyone" / "config.json").write_text('{"database_uri": "mongodb://127.0.0.1:1", "default_app_address": "0.0.0.0"}')
    settings, refusal = run_environment(one, two, home)
    assert '"names": []' in settings
    assert '"track": true' in settings
    assert '"address": "127.0.0.1"' in settings
    assert str(one / "servers" / "fiftyone" / "plugins") in settings
    assert refusal == (f"WorkspaceError {two}: FiftyOne is in use in this process for {one}; use a new process for this workspace")
    assert '"names": []' in run_environment(two, one, home)[0]
    assert '"names": ["one"]' in run_environment(one, two, home)[0]
    assert read_mongod(one / "servers") is None


def test_a_database_that_the_user_names_is_kept(tmp_path):
    workspace = create_workspace(tmp_path / "one").root
    shared = tmp_path / "shared"
    try:
        address = join_mongod(shared)
        settings = run_environment(workspace, workspace, tmp_path, FIFTYONE_DATABASE_URI=address)[0]
        assert f'"uri": "{address}"' in settings
        assert not (workspace / "servers" / "mongo").exists()
    finally:
        leave_mongod(shared)
