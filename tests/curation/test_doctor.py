"""The doctor: each fault is made for real, is named with what it means, and is repaired where it can be."""

from __future__ import annotations

import json
import os
import socket
import sqlite3
import subprocess
import sys
import time
from contextlib import closing

import pytest

from curation import doctor_machine as machine
from curation import doctor_workspace as work
from curation.config import Config, Ports, create_workspace
from curation.doctor import count_findings, diagnose, install_package
from curation.store import ArrayStore, Catalogue
from curation.store.health import inspect_catalogue, is_current
from schemas.errors import WorkspaceError


def _find_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture
def workspace(tmp_path):
    ports = Ports(label_studio=_find_port(), backend=_find_port(), fiftyone=_find_port())
    made = create_workspace(tmp_path / "w", Config(ports=ports))
    Catalogue.open(made.catalogue_url).close()
    return made


@pytest.fixture
def filled_workspace(workspace, maker, tmp_path):
    """A workspace with one clip and one person in it."""
    media = tmp_path / "lesson.mp4"
    media.write_bytes(b"film")
    from attrs import evolve

    clip = evolve(maker.clip(), uri=str(media))
    track = maker.track(clip)
    ArrayStore(workspace.folder("arrays")).write_tracks(clip.id, [track])
    with Catalogue.open(workspace.catalogue_url) as catalogue:
        catalogue.add_clips([clip])
        catalogue.commit_clip(clip.id, pipeline="p", tracks=[track], tubelets=maker.tubelets(track), predictions=[])
    return workspace


def _run_doctor(*arguments, env=None):
    return subprocess.run(
        [sys.executable, "-c", "from curation.cli import main; main()", "doctor", *arguments],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "COLUMNS": "100", **(env or {})},
    )


class TestMachine:
    def test_this_machine_can_run_curate(self):
        for check in (machine.check_python, machine.check_packages, machine.check_opencv, machine.check_telemetry):
            (finding,) = check()
            assert (finding.status, finding.advice, finding.repair) == ("ok", "", None), finding

    def test_opencv_names_the_package_that_won(self):
        (finding,) = machine.check_opencv()
        assert finding.found.endswith("picture and video work")
        assert any(f" of {name}" in finding.found for name in machine.OPENCV)

    def test_a_cv2_that_cannot_be_imported_is_a_failure_with_a_repair(self, tmp_path, monkeypatch):
        (tmp_path / "cv2").mkdir()
        (tmp_path / "cv2" / "__init__.py").write_text("raise ImportError('libGL.so.1: cannot open shared object file')")
        monkeypatch.setenv("PYTHONPATH", str(tmp_path))
        (finding,) = machine.check_opencv()
        assert finding.status == "fail"
        assert finding.found == "cv2 does not work: ImportError: libGL.so.1: cannot open shared object file"
        assert finding.repair.what.startswith("installing opencv-python-headless")

    def test_a_cv2_of_no_known_package_is_worth_a_warning(self, tmp_path, monkeypatch):
        import cv2

        (tmp_path / "cv2").mkdir()
        real = os.path.dirname(cv2.__file__)
        (tmp_path / "cv2" / "__init__.py").write_text(
            f"import sys; here = __file__; sys.path.pop(sys.path.index({str(tmp_path)!r})); del sys.modules['cv2']\n"
            f"import cv2; cv2.__file__ = here; assert cv2.__path__[0].startswith({real!r})\n"
        )
        monkeypatch.setenv("PYTHONPATH", str(tmp_path))
        (finding,) = machine.check_opencv()
        assert (finding.status, "is of no one package" in finding.found) == ("warn", True), finding

    def test_mongod_is_found_with_its_version(self, monkeypatch):
        monkeypatch.delenv("FIFTYONE_DATABASE_URI", raising=False)
        (finding,) = machine.check_mongod()
        assert finding.status == "ok"
        assert finding.found.startswith("mongod ")

    def test_a_database_address_that_does_not_answer(self, monkeypatch):
        monkeypatch.setenv("FIFTYONE_DATABASE_URI", f"mongodb://someone:hushhush@127.0.0.1:{_find_port()}")
        (finding,) = machine.check_mongod()
        assert finding.status == "fail"
        assert "Connection refused" in finding.found
        assert "unset the variable" in finding.advice
        assert "hushhush" not in finding.found + finding.advice

    def test_a_database_address_that_is_none(self, monkeypatch):
        monkeypatch.setenv("FIFTYONE_DATABASE_URI", "http://nonsense")
        (finding,) = machine.check_mongod()
        assert finding.status == "fail"

    def test_missing_bundles_are_named(self, tmp_path, monkeypatch):
        monkeypatch.setenv("CURATE_MODELS", str(tmp_path / "none"))
        (finding,) = machine.check_bundles()
        assert (finding.status, "pose missing" in finding.found) == ("fail", True)
        assert "curate models pull" in finding.advice
        assert finding.repair is not None
        assert not (tmp_path / "none").exists()

    def test_programs_that_are_not_there_are_only_a_warning(self, tmp_path, monkeypatch):
        monkeypatch.setenv("PATH", str(tmp_path))
        findings = machine.check_tools()
        assert [(f.area, f.status, f.found) for f in findings] == [
            ("ffmpeg", "warn", "not installed"),
            ("Chromium", "warn", "not installed"),
        ]
        assert "apt-get install chromium" in findings[1].advice

    def test_room_is_judged_on_the_disk_that_will_hold_the_folder(self, tmp_path):
        assert machine.judge_space(tmp_path / "not" / "there" / "yet").found.endswith(str(tmp_path))

    def test_pip_says_in_one_line_why_it_cannot(self, monkeypatch):
        monkeypatch.setenv("PIP_NO_INDEX", "1")
        with pytest.raises(WorkspaceError, match=r"pip could not install surely-no-such-package==1: ERROR") as caught:
            install_package("surely-no-such-package==1")
        assert "\n" not in str(caught.value)


class TestWorkspace:
    def test_a_new_one_is_well(self, workspace):
        findings = list(diagnose(workspace))
        assert {f.status for f in findings if f.area not in ("ffmpeg", "Chromium", "disk")} == {"ok"}, findings

    def test_it_counts_what_there_is(self, filled_workspace):
        (catalogue,) = work.check_catalogue(filled_workspace)
        assert catalogue.found == "whole: 1 clips, 2 tubelets, 0 annotations, 0 verdicts"
        assert [f.status for f in work.check_files(filled_workspace)] == ["ok", "ok"]

    def test_lost_arrays_are_a_failure_and_lost_media_a_warning(self, filled_workspace, tmp_path):
        (tmp_path / "lesson.mp4").unlink()
        for path in filled_workspace.folder("arrays").iterdir():
            path.unlink()
        arrays, media = work.check_files(filled_workspace)
        assert (arrays.status, media.status) == ("fail", "warn")
        assert "missing for clip_" in arrays.found
        assert str(tmp_path / "lesson.mp4") in media.found

    def test_a_damaged_catalogue(self, filled_workspace):
        path = filled_workspace.root / "catalogue.db"
        path.write_bytes(b"rubbish" * 999)
        (finding,) = work.check_catalogue(filled_workspace)
        assert (finding.status, finding.repair) == ("fail", None)
        assert "not an SQLite file" in finding.found
        assert work.check_files(filled_workspace) == []

    def test_damage_deep_inside_is_found(self, filled_workspace, maker):
        path = filled_workspace.root / "catalogue.db"
        with Catalogue.open(filled_workspace.catalogue_url) as catalogue:
            catalogue.add_clips([maker.clip(f"clip {i}") for i in range(300)])
        data = bytearray(path.read_bytes())
        data[-4096 * 8 : -4096 * 4] = b"\x55" * 4096 * 4
        path.write_bytes(data)
        (finding,) = work.check_catalogue(filled_workspace)
        assert finding.status == "fail"
        assert finding.found.startswith("damaged: ")

    def test_a_row_that_belongs_to_nothing_is_found(self, filled_workspace):
        with closing(sqlite3.connect(filled_workspace.root / "catalogue.db")) as connection:
            connection.execute("DELETE FROM clips")
            connection.commit()
        assert "tubelets belong to nothing" in work.check_catalogue(filled_workspace)[0].found

    def test_a_missing_catalogue_is_made_unless_work_was_lost(self, workspace, filled_workspace):
        (workspace.root / "catalogue.db").unlink()
        (finding,) = work.check_catalogue(workspace)
        assert (finding.status, finding.repair) == ("fail", None)
        assert "gone, though there are arrays" in finding.found
        for path in workspace.folder("arrays").iterdir():
            path.unlink()
        assert work.check_catalogue(workspace)[0].status == "warn"
        list(diagnose(workspace, fix=True))
        assert work.check_catalogue(workspace)[0].status == "ok"

    def test_looking_does_not_migrate_and_fixing_does(self, catalogue_url, tmp_path):
        from sqlalchemy import create_engine, text

        Catalogue.open(catalogue_url).close()
        engine = create_engine(catalogue_url)
        with engine.begin() as connection:
            connection.execute(text("DELETE FROM curate_version"))
        engine.dispose()
        assert is_current(catalogue_url) is False
        assert inspect_catalogue(catalogue_url).revision is None

    def test_a_taxonomy_that_is_gone(self, workspace):
        toml = workspace.root / "curate.toml"
        toml.write_text('taxonomy = "ours.yaml"')
        from curation.config import open_workspace

        (finding,) = work.check_taxonomy(open_workspace(workspace.root))
        assert (finding.status, "unknown taxonomy 'ours.yaml'" in finding.found) == ("fail", True)

    def test_half_written_files_are_removed_once_they_are_old(self, filled_workspace):
        old, young = (filled_workspace.folder("arrays") / f".clip.parquet.{name}.tmp" for name in ("old", "young"))
        for path in (old, young):
            path.write_bytes(b"half")
        os.utime(old, (time.time() - 3600,) * 2)
        (finding,) = work.check_leftovers(filled_workspace)
        assert (finding.status, finding.found) == ("warn", "arrays/.clip.parquet.old.tmp")
        list(diagnose(filled_workspace, fix=True))
        assert (old.exists(), young.exists()) == (False, True)
        assert work.check_leftovers(filled_workspace)[0].status == "ok"

    def test_a_port_in_use_says_by_whom_and_what_to_change(self, workspace):
        with socket.socket() as other:
            other.bind(("127.0.0.1", workspace.config.ports.backend))
            other.listen()
            failed = [f for f in work.check_ports(workspace) if f.status == "fail"]
        (finding,) = failed
        assert f"port {workspace.config.ports.backend} is in use by process {os.getpid()}" in finding.found
        assert "ports.backend in curate.toml" in finding.advice

    def test_our_own_server_may_hold_its_port(self, workspace):
        from curation.processes import launch_server, stop_server

        port = workspace.config.ports.backend
        code = f"import socket, time; s = socket.create_server(('127.0.0.1', {port})); time.sleep(60)"
        launch_server(workspace, "backend", [sys.executable, "-c", code], port=port)
        try:
            assert f"{port}: our backend runs there" in [f.found for f in work.check_ports(workspace)]
            assert [f.area for f in work.check_servers(workspace)] == ["token"]
        finally:
            stop_server(workspace, "backend")
        assert {f.status for f in work.check_ports(workspace)} == {"ok"}

    def test_a_record_of_a_server_that_is_gone_is_removed(self, workspace):
        record = workspace.folder("servers") / "backend.json"
        record.write_text(json.dumps({"name": "backend", "pid": 1, "created": 5.0, "port": 9, "url": "http://127.0.0.1:9"}))
        findings = work.check_servers(workspace)
        assert findings[0].found == "recorded as running, but gone: backend"
        list(diagnose(workspace, fix=True))
        assert not record.exists()

    def test_a_repair_that_does_not_work_is_reported(self, workspace, tmp_path, monkeypatch):
        (tmp_path / "file").write_text("")
        monkeypatch.setenv("CURATE_MODELS", str(tmp_path / "file" / "models"))
        monkeypatch.setenv("PIP_NO_INDEX", "1")
        told = []
        from curation.doctor import _list_checks, _try_repair

        (finding,) = machine.check_bundles()
        problem = _try_repair(finding.repair, told.append)
        assert (problem.status, problem.found) == ("fail", "fetching or building the bundles: did not work")
        assert told[0] == "fetching or building the bundles …"
        assert len(_list_checks(workspace)) > len(_list_checks(None))


@pytest.mark.integration
def test_the_token_is_tried_at_the_running_label_studio(label_studio, monkeypatch):
    workspace = label_studio.make_workspace()
    assert "curate up" in work._check_token(workspace, is_up=False).found
    finding = work._check_token(workspace, is_up=True)
    assert (finding.status, finding.found) == ("ok", "Label Studio takes it")
    monkeypatch.setenv("CURATE_LABEL_STUDIO_TOKEN", "0" * 40)
    finding = work._check_token(workspace, is_up=True)
    assert (finding.status, "refuses the token" in finding.found) == ("fail", True)
    assert "0" * 40 not in finding.found


class TestCommand:
    def test_a_well_workspace_exits_0_and_ends_with_one_line(self, workspace):
        done = _run_doctor("-w", str(workspace.root))
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.startswith(f"workspace {workspace.root}\n\n ok    Python      ")
        assert done.stdout.splitlines()[-1].startswith("doctor: ")
        assert max(map(len, done.stdout.splitlines())) <= 100

    def test_a_broken_one_exits_1_and_says_what_can_be_repaired(self, filled_workspace):
        (filled_workspace.root / "catalogue.db").write_bytes(b"rubbish")
        done = _run_doctor("-w", str(filled_workspace.root), "--json")
        assert done.returncode == 1
        result = json.loads(done.stdout.splitlines()[-1])
        assert result["fail"] == 1
        assert [f["area"] for f in result["findings"] if f["status"] == "fail"] == ["catalogue"]

    def test_it_works_without_a_workspace(self, tmp_path):
        command = [sys.executable, "-c", "from curation.cli import main; main()", "doctor", "--json"]
        env = {key: value for key, value in os.environ.items() if key != "CURATE_WORKSPACE"}
        done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, check=False)
        result = json.loads(done.stdout)
        assert (done.returncode, result["workspace"], result["fail"]) == (0, None, 0)
        assert list(tmp_path.iterdir()) == []

    def test_a_workspace_that_cannot_be_opened_is_a_finding(self, tmp_path):
        (tmp_path / "curate.toml").write_text("colour = 1")
        done = _run_doctor("-w", str(tmp_path))
        assert done.returncode == 1
        assert " fail  workspace   " in done.stdout
        assert "Traceback" not in done.stderr


def test_counting():
    findings = machine.check_python() + machine.check_packages()
    assert count_findings(findings) == {"ok": 2, "warn": 0, "fail": 0}
