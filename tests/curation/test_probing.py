"""Reading media in a process apart: the same answers, and a decoder that crashes or hangs costs one file."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from contextlib import closing

import numpy as np
import pytest
from fixtures_media import write_video

from curation.config import create_workspace
from curation.ingest import add_media
from curation.media import hash_file, probe_media
from curation.probing import Prober, probe_files
from curation.store import Catalogue
from schemas.errors import MediaError


def stop_child(prober):
    """Start the prober's process and let it stand still; return its id."""
    prober._start()
    os.kill(prober._process.pid, signal.SIGSTOP)
    return prober._process.pid


def test_it_says_what_probe_media_says(numbered_video, bad_media):
    with Prober() as prober:
        told, known = prober.probe(numbered_video), probe_media(numbered_video)
        np.testing.assert_array_equal(told.timestamps, known.timestamps)
        assert (told.sha256, told.n_frames, told.fps, told.gaps) == (known.sha256, known.n_frames, known.fps, known.gaps)
        for kind in ("missing", "text", "zero", "noise", "folder"):
            with pytest.raises(MediaError) as ours:
                prober.probe(bad_media[kind])
            with pytest.raises(MediaError) as theirs:
                probe_media(bad_media[kind])
            assert str(ours.value) == str(theirs.value)


def test_a_crash_costs_one_file(numbered_video, tmp_path):
    other = write_video(tmp_path / "b.mp4", 10)
    with Prober() as prober:
        child = stop_child(prober)
        crash = threading.Timer(0.2, lambda: [os.kill(child, number) for number in (signal.SIGSEGV, signal.SIGCONT)])
        crash.start()
        with pytest.raises(MediaError, match=r"numbered\.mp4: its decoder crashed \(SIGSEGV\)"):
            prober.probe(numbered_video)
        assert prober.probe(other).n_frames == 10
        assert prober.probe(numbered_video).n_frames == 120


def test_a_decoder_that_stands_still_is_given_up_and_ended(numbered_video):
    with Prober(patience=0.3) as prober:
        child = stop_child(prober)
        with pytest.raises(MediaError, match=r"stands still \(no new frame in 0\.3 s\)"):
            prober.probe(numbered_video)
        with pytest.raises(ProcessLookupError):
            os.kill(child, 0)
    with Prober() as prober:
        assert prober.probe(numbered_video).n_frames == 120


def test_a_playlist_opens_no_other_file_and_no_address(tmp_path, numbered_video):
    workspace = create_workspace(tmp_path / "work")
    (tmp_path / "list.mp4").write_text(f"#EXTM3U\n#EXT-X-TARGETDURATION:5\n#EXTINF:5,\n{numbered_video}\n#EXT-X-ENDLIST\n")
    (tmp_path / "concat.mp4").write_text(f"ffconcat version 1.0\nfile '{numbered_video}'\n")
    (tmp_path / "session.mp4").write_text("v=0\no=- 0 0 IN IP4 127.0.0.1\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 5004 RTP/AVP 96\n")
    with Catalogue.open(workspace.catalogue_url) as catalogue:
        names = [tmp_path / f"{name}.mp4" for name in ("list", "concat", "session")]
        result = add_media(workspace, catalogue, names)
        assert [path for path, _ in result.failed] == names
        assert all("cannot be read as a video" in reason for _, reason in result.failed)


def test_several_files_at_a_time_come_in_their_order_and_known_content_is_not_read(tmp_path, bad_media):
    long, twin = write_video(tmp_path / "long.mp4", 240), tmp_path / "twin.mp4"
    shorts = [write_video(tmp_path / f"{n}.mp4", 4 + n) for n in range(9)]
    twin.write_bytes(shorts[3].read_bytes())
    files = [long, *shorts[:2], bad_media["text"], *shorts[2:], bad_media["missing"], twin]
    known = hash_file(shorts[3])
    found = list(probe_files(files, is_known=lambda sha256: sha256 == known, workers=3))
    assert [probed.path for probed in found] == files
    outcomes = {probed.path: probed.outcome for probed in found}
    assert [outcomes[path].n_frames for path in (long, shorts[0], shorts[8])] == [240, 4, 12]
    assert outcomes[shorts[3]] is outcomes[twin] is None
    assert all(isinstance(outcomes[bad_media[kind]], MediaError) for kind in ("text", "missing"))


def test_whoever_stops_in_the_middle_leaves_no_process(tmp_path, numbered_video):
    files = [write_video(tmp_path / f"{n}.mp4", 400) for n in range(6)]
    before = set(multiprocessing.active_children())
    with closing(probe_files([numbered_video, *files], is_known=lambda _: False, workers=2)) as found:
        assert next(found).outcome.n_frames == 120
        assert set(multiprocessing.active_children()) - before
    assert set(multiprocessing.active_children()) - before == set()


def test_a_stopped_prober_reads_nothing_more(numbered_video):
    with Prober() as prober:
        assert prober.probe(numbered_video).n_frames == 120
        prober.stop()
        for _ in range(2):
            with pytest.raises(MediaError, match="its decoder crashed"):
                prober.probe(numbered_video)
