"""Full disks, kill -9 and two writers at once: nothing half, nothing twice, nothing lost."""

from __future__ import annotations

import multiprocessing
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from curation.store import ArrayStore, Catalogue
from schemas.errors import StorageError
from schemas.records import Verdict

SPAWN = multiprocessing.get_context("spawn")


@pytest.fixture
def small_disk(tmp_path):
    """A disk of 1 MiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", folder], capture_output=True, text=True)
    if mounted.returncode:
        pytest.skip(f"cannot mount a small disk here: {mounted.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


def _fill(folder):
    filler = folder / "filler"
    with filler.open("wb", buffering=0) as stream:
        for size in (65536, 512, 1):
            try:
                while True:
                    stream.write(b"x" * size)
            except OSError:
                continue
    return filler


class TestFullDisk:
    def test_the_catalogue_says_so_and_keeps_what_it_had(self, small_disk, maker):
        url = f"sqlite:///{small_disk / 'catalogue.db'}"
        with Catalogue.open(url) as catalogue:
            catalogue.add_clips([maker.clip("first")])
            before = catalogue.digest()
            with pytest.raises(StorageError, match=r"catalogue\.db: cannot be written: .*; nothing was changed"):
                catalogue.add_clips([maker.clip(f"clip {i}", n_frames=1000) for i in range(400)])
            assert catalogue.digest() == before
        with Catalogue.open(url) as catalogue:
            assert catalogue.digest() == before
            assert catalogue.add_clips([maker.clip("second")]) == 1
        with closing(sqlite3.connect(small_disk / "catalogue.db")) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)

    def test_a_new_catalogue_is_not_left_half_made(self, small_disk):
        filler = _fill(small_disk)
        with pytest.raises(StorageError, match="nothing was changed"):
            Catalogue.open(f"sqlite:///{small_disk / 'catalogue.db'}")
        assert list(small_disk.iterdir()) == [filler]
        filler.unlink()
        Catalogue.open(f"sqlite:///{small_disk / 'catalogue.db'}").close()

    def test_the_arrays_say_so_and_keep_what_they_had(self, small_disk, maker):
        clip = maker.clip()
        store = ArrayStore(small_disk / "arrays")
        store.write_tracks(clip.id, [maker.track(clip)])
        before = store.digest()
        filler = _fill(small_disk)
        with pytest.raises(StorageError, match="No space left on device; nothing was changed"):
            store.write_tracks(clip.id, [maker.track(clip, place=i, n=60) for i in range(20)])
        filler.unlink()
        assert store.digest() == before
        assert [p.name for p in (small_disk / "arrays").iterdir()] == [f"{clip.id}.parquet"]


def _give_verdicts(url, tubelet_id, curator, count):
    with Catalogue.open(url) as catalogue:
        for i in range(count):
            moment = f"2026-01-01T00:00:00.{i:06d}Z"
            catalogue.add_verdict(Verdict(tubelet_id=tubelet_id, axis="behaviour", kind="keep", curator=curator, made_at=moment))


def _open_and_add(url, clips):
    with Catalogue.open(url) as catalogue:
        catalogue.add_clips(clips)


def _run_together(target, arguments):
    workers = [SPAWN.Process(target=target, args=args) for args in arguments]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(120)
    assert [worker.exitcode for worker in workers] == [0] * len(workers)


def test_two_processes_write_verdicts_at_the_same_time(filled, catalogue_url):
    _run_together(_give_verdicts, [(catalogue_url, filled.ids[0], name, 150) for name in ("anna", "bert")])
    verdicts = filled.list_verdicts()
    assert len(verdicts) == 300
    for name in ("anna", "bert"):
        moments = [v.made_at for v in verdicts if v.curator == name]
        assert moments == sorted(moments)
        assert len(set(moments)) == 150


def test_three_processes_make_the_same_catalogue_at_the_same_time(catalogue_url, maker, tmp_path):
    clips = [[maker.clip("shared"), maker.clip(f"own {i}")] for i in range(3)]
    _run_together(_open_and_add, [(catalogue_url, mine) for mine in clips])
    with Catalogue.open(catalogue_url) as catalogue:
        assert len(catalogue.list_clips()) == 4
    assert not list(tmp_path.glob(".*.tmp*"))


CHILD = """
import sys
sys.path.insert(0, {tests!r})
from fixtures_store import Maker
from curation.store import ArrayStore, Catalogue

maker = Maker()
store = ArrayStore({arrays!r})
with Catalogue.open({url!r}) as catalogue:
    for number in range(12):
        clip = maker.clip(f"clip {{number}}")
        catalogue.add_clips([clip])
        print(number, flush=True)
        if clip.id in catalogue.list_done("p-1"):
            continue
        tracks = [maker.track(clip, place=place) for place in range(4)]
        tubelets = [tubelet for track in tracks for tubelet in maker.tubelets(track, n=25)]
        store.write_tracks(clip.id, tracks)
        predictions = [maker.prediction(tubelet.id) for tubelet in tubelets]
        catalogue.commit_clip(clip.id, pipeline="p-1", tracks=tracks, tubelets=tubelets, predictions=predictions)
"""


def _run_child(url, folder, *, kill_after=None):
    code = CHILD.format(tests=str(Path(__file__).parents[2]), arrays=str(folder), url=url)
    child = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    for seen, _ in enumerate(child.stdout, start=1):
        if seen == kill_after:
            child.send_signal(signal.SIGKILL)
            break
    child.stdout.close()
    assert child.wait(120) == (0 if kill_after is None else -signal.SIGKILL)


def test_kill_9_then_the_same_again_gives_the_same(catalogue_url, tmp_path):
    whole = f"sqlite:///{tmp_path / 'whole.db'}"
    _run_child(whole, tmp_path / "whole")
    for kill_after in (2, 7):
        _run_child(catalogue_url, tmp_path / "arrays", kill_after=kill_after)
    _run_child(catalogue_url, tmp_path / "arrays")
    with Catalogue.open(whole) as expected, Catalogue.open(catalogue_url) as catalogue:
        assert len(catalogue.list_tubelets()) == 12 * 100
        assert catalogue.digest() == expected.digest()
    assert ArrayStore(tmp_path / "arrays").digest() == ArrayStore(tmp_path / "whole").digest()
