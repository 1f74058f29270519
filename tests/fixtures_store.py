"""Catalogues on SQLite and on a real PostgreSQL, and small valid records to put into them."""

from __future__ import annotations

import getpass
import hashlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path

import numpy as np
import pytest

from schemas.records import Clip, HumanSpan, PoseTrack, PredictedSpan, Seat, Tubelet, Verdict
from schemas.scores import SampleScore

PASSWORD = "kept-out-of-messages"


def _find_postgres():
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name))
    found = shutil.which("initdb")
    return folders[-1] if folders else Path(found).parent if found else None


class PostgresServer:
    """A throw-away PostgreSQL on loopback; it dies with the process that started it."""

    def __init__(self, binaries: Path, folder: Path) -> None:
        self.binaries, self.folder, self.port, self._count = binaries, folder, _find_free_port(), 0
        self._as_user = []
        if os.geteuid() == 0:
            shutil.chown(folder, "postgres", "postgres")
            self._as_user = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups", "--pdeathsig=KILL"]
        secret = folder / "password"
        secret.write_text(PASSWORD)
        secret.chmod(0o644)
        self._run("initdb", "-D", folder / "data", "-U", "curate", "-A", "scram-sha-256", f"--pwfile={secret}", "-E", "UTF8", "-N")
        options = [f"-cunix_socket_directories={folder}", "-clisten_addresses=127.0.0.1", f"-cport={self.port}"]
        speed = ["-cfsync=off", "-csynchronous_commit=off", "-cfull_page_writes=off", "-cshared_buffers=32MB"]
        with (folder / "log").open("wb") as log:
            self._process = subprocess.Popen(
                [*self._as_user, binaries / "postgres", "-D", folder / "data", *options, *speed], stdout=log, stderr=log
            )
        self._wait()

    def make_url(self) -> str:
        """Return the address of a new, empty database."""
        import psycopg

        self._count += 1
        name = f"t{self._count}"
        with psycopg.connect(self._dsn("postgres"), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}")
        return f"postgresql+psycopg://curate:{PASSWORD}@127.0.0.1:{self.port}/{name}"

    def stop(self) -> None:
        self._process.send_signal(signal.SIGQUIT)  # PostgreSQL's "immediate": nothing here is worth a checkpoint
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _dsn(self, database: str) -> str:
        return f"host=127.0.0.1 port={self.port} user=curate password={PASSWORD} dbname={database} connect_timeout=5"

    def _run(self, program: str, *arguments: object) -> None:
        subprocess.run(
            [*self._as_user, self.binaries / program, *arguments], check=True, capture_output=True, cwd=self.folder, timeout=120
        )

    def _wait(self) -> None:
        import psycopg

        for _ in range(600):
            try:
                psycopg.connect(self._dsn("postgres")).close()
                return
            except psycopg.OperationalError:
                if self._process.poll() is not None:
                    break
                time.sleep(0.1)
        raise RuntimeError((self.folder / "log").read_text())


def _find_free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="session")
def postgres_server():
    binaries = _find_postgres()
    if binaries is None:
        if os.environ.get("CI") == "true":
            pytest.fail("PostgreSQL's server is not installed, and CI must run these tests (apt-get install postgresql)")
        pytest.skip(f"PostgreSQL's server is not installed for {getpass.getuser()} (apt-get install postgresql)")
    folder = Path(tempfile.mkdtemp(prefix="curate-postgres-", dir="/tmp"))
    server = None
    try:
        server = PostgresServer(binaries, folder)
        yield server
    finally:
        if server is not None:
            server.stop()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.integration)])
def catalogue_url(request, tmp_path):
    """Return the address of a catalogue that does not exist yet."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'catalogue.db'}"
    return request.getfixturevalue("postgres_server").make_url()


@pytest.fixture
def catalogue(catalogue_url):
    from curation.store import Catalogue

    with Catalogue.open(catalogue_url) as opened:
        yield opened


class Maker:
    """Small valid records; equal arguments give equal records."""

    def clip(self, name="one", *, lesson="lesson-1", n_frames=60, seats=(), **more) -> Clip:
        sha = hashlib.sha256(name.encode()).hexdigest()
        times = np.arange(n_frames) / 30 + 1e-9
        return Clip(
            id=Clip.compute_id(sha),
            uri=f"/media/{name}.mp4",
            sha256=sha,
            n_frames=n_frames,
            fps=29.97,
            width=640,
            height=480,
            timestamps=times,
            lesson=lesson,
            seats=tuple(Seat(student=s, box_xyxy=(0.5, 1.25, 100.1, 200.0)) for s in seats),
            **more,
        )

    def track(self, clip, *, place=0, student=None, n=6, n_keypoints=33, seed=0) -> PoseTrack:
        rng = np.random.default_rng([place, seed])
        corner = rng.uniform(0, 300, (n, 2)).astype(np.float32)
        pose = rng.normal(100, 50, (n, n_keypoints, 4)).astype(np.float32)
        pose[rng.random((n, n_keypoints)) < 0.2] = np.nan
        boxes = np.concatenate([corner, corner + rng.uniform(10, 90, (n, 2))], axis=1).astype(np.float32)
        return PoseTrack(
            id=PoseTrack.compute_id(clip.id, 5 * place, boxes[0], "test-1"),
            clip_id=clip.id,
            frames=5 * place + 5 * np.arange(n),
            boxes_xyxy=boxes,
            pose_px=pose,
            student=student,
        )

    def tubelets(self, track, *, n=2) -> list[Tubelet]:
        return [Tubelet.of(track.id, track.clip_id, 10 * i, 10 * i + 9) for i in range(n)]

    def prediction(self, tubelet_id, value="read", *, version="1", p=0.75, axis="behaviour", model="net") -> PredictedSpan:
        other = "write" if value != "write" else "read"
        return PredictedSpan(
            tubelet_id=tubelet_id, axis=axis, value=value, model=model, version=version, scores={value: p, other: 1 - p}
        )

    def label(self, tubelet_id, value="read", *, annotator="ann", made_at="", axis="behaviour", **more) -> HumanSpan:
        return HumanSpan(tubelet_id=tubelet_id, axis=axis, value=value, annotator=annotator, made_at=made_at, **more)

    def verdict(self, tubelet_id, kind="drop", value=None, *, at=0, axis="behaviour", curator="cur") -> Verdict:
        moment = f"2026-01-01T00:00:{at:09.6f}+00:00"
        return Verdict(tubelet_id=tubelet_id, axis=axis, kind=kind, value=value, curator=curator, made_at=moment)

    def score(self, tubelet_id, value, *, loss=1.0, method="loss", axis="behaviour") -> SampleScore:
        return SampleScore(
            tubelet_id=tubelet_id,
            axis=axis,
            label="read",
            suggested="write",
            value=value,
            loss=loss,
            method=method,
            model="net",
            out_of_sample=True,
        )


@pytest.fixture
def maker():
    return Maker()


@pytest.fixture
def filled(catalogue, maker):
    """A catalogue with two clips of two tracks of two tubelets, and the ids of the tubelets in order."""
    for name in ("one", "two"):
        clip = maker.clip(name, lesson=f"lesson-{name}")
        catalogue.add_clips([clip])
        tracks = [maker.track(clip, place=i, student=f"student-{i}") for i in range(2)]
        tubelets = [t for track in tracks for t in maker.tubelets(track)]
        catalogue.commit_clip(clip.id, pipeline="test-1", tracks=tracks, tubelets=tubelets, predictions=[])
    catalogue.ids = [tubelet.id for tubelet in catalogue.list_tubelets()]
    return catalogue
