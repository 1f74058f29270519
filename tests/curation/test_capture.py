"""Live recording from real streams on loopback: every frame, whole files, gaps counted, nothing lost at the end."""

from __future__ import annotations

import json
import signal
import subprocess
import threading
import time
from datetime import UTC, datetime
from fractions import Fraction

import av
import numpy as np
import pytest
from fixtures_media import CURATE, draw_number, read_number, run_curate

from curation.capture import CaptureSettings, capture_source, hide_login
from curation.config import create_workspace
from curation.ingest import read_sidecar
from curation.media import iter_frames, probe_media
from curation.store import Catalogue
from schemas.errors import MediaError, StorageError


@pytest.fixture(scope="module")
def lesson(tmp_path_factory):
    """120 numbered frames, 4.8 s, H.264 as a camera sends it: no B-frames, a key frame every 12."""
    path = tmp_path_factory.mktemp("live") / "lesson.mp4"
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=25, options={"preset": "ultrafast", "tune": "zerolatency"})
        stream.width, stream.height, stream.pix_fmt, stream.gop_size = 96, 64, "yuv420p", 12
        for number in range(120):
            frame = av.VideoFrame.from_ndarray(draw_number(number), format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, 25)
            out.mux(stream.encode(frame))
        out.mux(stream.encode())
    return path


def record(source, folder, *, stop=None, tell=lambda line: None, **changes):
    settings = CaptureSettings(source=str(source), folder=folder, lesson="maths 1", camera="front", **changes)
    return capture_source(settings, stop=stop or threading.Event(), tell=tell)


def read_numbers(path):
    return [read_number(rgb) for _, _, rgb in iter_frames(path)]


def test_a_stream_is_copied_frame_by_frame(serve_rtsp, lesson, tmp_path):
    before = time.time()
    result = record(serve_rtsp(lesson), tmp_path / "out", patience=0.5)
    (part,) = result.parts
    assert read_numbers(part.path) == list(range(120))
    info = probe_media(part.path)
    assert (info.n_frames, info.problem, info.gaps, part.frames) == (120, None, (), 120)
    np.testing.assert_allclose(info.timestamps, np.arange(120) / 25, atol=2e-3)
    assert before < part.started_at.timestamp() < time.time()
    assert result.problem == "the stream ended; it did not come back within 0.5 s"
    assert part.path.name == f"maths_1-front-{part.started_at:%Y%m%dT%H%M%S}-001.mkv"
    with av.open(str(part.path)) as copy, av.open(str(lesson)) as source:
        sizes = [[p.size for p in each.demux(video=0) if p.size] for each in (copy, source)]
    assert abs(sum(sizes[0]) - sum(sizes[1])) < 0.1 * sum(sizes[1])  # copied, not encoded again


def test_a_lost_stream_is_tried_again_and_the_gap_is_counted(serve_rtsp, lesson, tmp_path):
    said = []
    url = serve_rtsp(lesson, cuts=(60, None), pause=1.0)
    result = record(url, tmp_path / "out", patience=3, tell=said.append)
    first, second = result.parts
    numbers = read_numbers(first.path)
    assert numbers == list(range(len(numbers)))
    assert 10 < len(numbers) <= 60
    assert read_numbers(second.path) == list(range(120))
    assert first.gap_seconds == 0
    assert second.gap_seconds > 0.9
    assert second.gap_frames == pytest.approx(25 * second.gap_seconds, abs=1)
    assert (second.started_at - first.started_at).total_seconds() > second.gap_seconds
    assert "the stream ended; trying again for 3 s" in " ".join(said)
    sidecar = read_sidecar(second.path)
    assert (sidecar.lesson, sidecar.camera) == ("maths 1", "front")
    assert sidecar.context == {"time": second.started_at.isoformat()}
    assert sidecar.capture["gap_frames"] == second.gap_frames
    assert sidecar.capture["source"].startswith("rtsp://127.0.0.1:")


def test_long_recordings_are_cut_at_key_frames_without_losing_one(lesson, tmp_path):
    result = record(lesson, tmp_path / "out", segment=1.0)
    assert result.problem is None
    assert len(result.parts) == 4
    numbers = [read_numbers(part.path) for part in result.parts]
    assert [number for each in numbers for number in each] == list(range(120))
    assert all(each[0] % 12 == 0 for each in numbers)
    assert [part.gap_frames for part in result.parts] == [0] * 4
    assert not list((tmp_path / "out").glob("*.part"))


def test_raw_pictures_as_of_a_webcam_become_h264(tmp_path):
    raw = tmp_path / "raw.nut"
    with av.open(str(raw), "w") as out:
        stream = out.add_stream("rawvideo", rate=10)
        stream.width, stream.height, stream.pix_fmt = 97, 64, "yuv444p"
        for number in range(30):
            out.mux(stream.encode(av.VideoFrame.from_ndarray(draw_number(number, 97), format="rgb24")))
        out.mux(stream.encode())
    (part,) = record(raw, tmp_path / "out").parts
    assert read_numbers(part.path) == list(range(30))
    with av.open(str(part.path)) as container:
        assert container.streams.video[0].codec_context.name == "h264"
    np.testing.assert_allclose(probe_media(part.path).timestamps, np.arange(30) / 10, atol=2e-3)


def test_the_time_ends_a_recording(lesson, tmp_path):
    (part,) = record(lesson, tmp_path / "out", seconds=2.0).parts
    assert part.seconds == pytest.approx(2.0, abs=0.05)
    assert read_numbers(part.path) == list(range(part.frames))


def test_asked_to_stop_it_closes_a_whole_file(serve_http, lesson, tmp_path):
    stop = threading.Event()
    threading.Timer(2.0, stop.set).start()
    url = serve_http(lesson)
    deadline = time.monotonic() + 10
    while True:
        try:
            result = record(url, tmp_path / "out", stop=stop)
            break
        except MediaError:  # ffmpeg does not listen yet
            assert time.monotonic() < deadline
            stop.clear()
            threading.Timer(2.0, stop.set).start()
            time.sleep(0.2)
    (part,) = result.parts
    assert result.problem is None
    info = probe_media(part.path)
    assert (info.problem, info.n_frames) == (None, part.frames)
    numbers = read_numbers(part.path)
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))


def test_sources_that_are_not_there_are_one_line_without_the_password(tmp_path):
    with pytest.raises(MediaError, match=r"^rtsp://127\.0\.0\.1:9/x: cannot be opened \(") as caught:
        record("rtsp://user:secret@127.0.0.1:9/x", tmp_path)
    assert "secret" not in str(caught.value)
    with pytest.raises(MediaError, match=r"no-such\.mp4: cannot be opened \(No such file"):
        record(tmp_path / "no-such.mp4", tmp_path)
    with pytest.raises(MediaError, match="99: cannot be opened"):
        record("99", tmp_path)
    assert hide_login("rtsp://a:b@cam.local:554/s?x=1") == "rtsp://cam.local:554/s?x=1"
    assert hide_login("/dev/video0") == "/dev/video0"


def test_a_folder_that_cannot_be_written_to_is_said(lesson, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(StorageError):
        record(lesson, tmp_path / "file")


def test_ctrl_c_keeps_what_was_filmed_and_adds_it(serve_http, lesson, tmp_path):
    workspace = create_workspace(tmp_path / "work")
    url = serve_http(lesson)
    time.sleep(1.0)
    process = subprocess.Popen(
        [CURATE, "capture", url, "--lesson", "maths", "--camera", "rear", "--json", "-w", workspace.root],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    media = workspace.root / "media"
    deadline = time.monotonic() + 40
    while not (list(media.glob("*.part")) and next(media.glob("*.part")).stat().st_size > 2000):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=40)
    assert process.returncode == 0, err
    told = json.loads(out)
    assert told["added"] == 1
    with Catalogue.open(workspace.catalogue_url) as catalogue:
        (clip,) = catalogue.list_clips()
    (part,) = told["sources"][0]["parts"]
    assert (clip.lesson, clip.camera, clip.uri) == ("maths", "rear", part["path"])
    assert clip.context["time"] == part["started_at"]
    assert abs(datetime.now(UTC) - datetime.fromisoformat(part["started_at"])).total_seconds() < 120
    numbers = read_numbers(clip.uri)
    assert len(numbers) == clip.n_frames == part["frames"]
    assert (np.diff(numbers) % 120 == 1).all()


def test_several_cameras_at_once_and_one_that_is_not_there(lesson, tmp_path):
    workspace = create_workspace(tmp_path / "work")
    done = run_curate(
        "capture", lesson, lesson, tmp_path / "none.mp4", "--lesson", "art", "--segment", "2", "--json", cwd=workspace.root
    )
    assert done.returncode == 1
    told = json.loads(done.stdout)
    assert [len(source["parts"]) for source in told["sources"]] == [2, 2]
    assert [name for name, _ in told["failed"]] == [str(tmp_path / "none.mp4")]
    names = sorted(path.name.split("-")[2] for path in (workspace.root / "media").glob("*.mkv"))
    assert names == ["1", "1", "2", "2"]
    assert run_curate("capture", lesson, lesson, "--camera", "a", "--lesson", "x", cwd=workspace.root).returncode == 2
