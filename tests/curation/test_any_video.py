"""Any video: every codec, container, size, rate and damage gives exactly its frames, by index, from the start and by seeking."""

from __future__ import annotations

from fractions import Fraction

import av
import numpy as np
import pytest
from fixtures_media import draw_number, read_number, rotate_video, write_video

from curation.benchmarks.people_fuzz import keep_priority
from curation.media import iter_frames, probe_media, read_frame
from schemas.records import Gap

N = 100
FAST = {"preset": "ultrafast"}
B_FRAMES = {"preset": "veryfast", "bf": "3", "sc_threshold": "0"}
KINDS = {
    "h264": ("a.mp4", "libx264", "yuv420p", (96, 64), FAST),
    "h264 with B-frames": ("a.mp4", "libx264", "yuv420p", (96, 64), B_FRAMES),
    "h264 with open groups": ("a.mkv", "libx264", "yuv420p", (96, 64), {**B_FRAMES, "x264-params": "open-gop=1"}),
    "h264 in 10 bits": ("a.mkv", "libx264", "yuv420p10le", (96, 64), FAST),
    "h264 of odd size": ("a.mp4", "libx264", "yuv444p", (97, 65), FAST),
    "h264 in ts": ("a.ts", "libx264", "yuv420p", (96, 64), B_FRAMES),
    "h264 in avi": ("a.avi", "libx264", "yuv420p", (96, 64), B_FRAMES),
    "hevc": ("a.mp4", "libx265", "yuv420p", (96, 64), {"preset": "ultrafast", "x265-params": "log-level=none:bframes=3"}),
    "hevc in 10 bits": ("a.mkv", "libx265", "yuv420p10le", (96, 64), {"preset": "ultrafast", "x265-params": "log-level=none"}),
    "vp9 of odd size": ("a.webm", "libvpx-vp9", "yuv420p", (97, 65), {"deadline": "realtime", "cpu-used": "8"}),
    "av1": ("a.mkv", "libsvtav1", "yuv420p", (96, 64), {"preset": "12", "svtav1-params": "keyint=12"}),
    "mjpeg": ("a.avi", "mjpeg", "yuvj420p", (96, 64), {}),
    "mpeg-4 with B-frames": ("a.avi", "mpeg4", "yuv420p", (96, 64), {"bf": "2"}),
    "mpeg-2": ("a.mpg", "mpeg2video", "yuv420p", (96, 64), {"bf": "2"}),
    "raw h264": ("a.h264", "libx264", "yuv420p", (96, 64), B_FRAMES),
    "raw hevc": ("a.hevc", "libx265", "yuv420p", (96, 64), {"preset": "ultrafast", "x265-params": "log-level=none"}),
}


def encode(path, codec, pix_fmt, size, options, n=N):
    """Write frames 0 to n - 1, each with its number in it, at 25 frames/s and a key frame every 12."""
    with keep_priority(), av.open(str(path), "w") as out:
        stream = out.add_stream(codec, rate=25, options=options)
        stream.width, stream.height, stream.pix_fmt, stream.gop_size = *size, pix_fmt, 12
        for number in range(n):
            frame = av.VideoFrame.from_ndarray(draw_number(number, *size), format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, 25)
            out.mux(stream.encode(frame))
        out.mux(stream.encode())
    return path


@pytest.fixture(scope="module", params=KINDS)
def video(request, tmp_path_factory):
    name, *rest = KINDS[request.param]
    return encode(tmp_path_factory.mktemp("kinds") / name, *rest)


def read_all(path, indices=None, timestamps=None):
    return [(index, read_number(rgb)) for index, _, rgb in iter_frames(path, indices, timestamps=timestamps)]


def test_every_kind_gives_every_frame_with_its_time(video):
    info = probe_media(video)
    assert (info.n_frames, info.problem, info.gaps) == (N, None, ())
    np.testing.assert_allclose(info.timestamps - info.timestamps[0], np.arange(N) / 25, atol=1.1e-3)
    assert (info.width, info.height) in ((96, 64), (97, 65))
    assert info.fps == pytest.approx(25, rel=1e-2)
    frames = list(iter_frames(video))
    assert [(index, read_number(rgb)) for index, _, rgb in frames] == [(i, i) for i in range(N)]
    assert [seconds for _, seconds, _ in frames] == list(info.timestamps)
    assert {rgb.shape for _, _, rgb in frames} == {(info.height, info.width, 3)}


def test_every_kind_is_exact_after_seeking(video):
    times = probe_media(video).timestamps
    for index in (0, 49, 50, 59, 60, 61, 71, 72, 73, 83, 84, 85, 95, 96, 99):
        assert read_all(video, [index], times) == [(index, index)], index
    assert read_all(video, [99, 63, 80], times) == [(63, 63), (80, 80), (99, 99)]
    np.testing.assert_array_equal(read_frame(video, 77, timestamps=times), read_frame(video, 77))


def list_packets(path):
    """Return (position, size, is key frame) of every video packet, in the order of decoding."""
    with av.open(str(path)) as container:
        return [(p.pos, p.size, p.is_keyframe) for p in container.demux(video=0) if p.size]


def damage(path, target, packets, seed=0):
    """Copy a file and put noise into the pictures of some packets, by their place in the order of decoding."""
    data, there, rng = bytearray(path.read_bytes()), list_packets(path), np.random.default_rng(seed)
    for number in packets:
        position, size, _ = there[number]
        data[position + 5 : position + size] = rng.bytes(size - 5)
    target.write_bytes(data)
    return target


def read_damaged(path):
    """Return (info, numbers in the frames), after checking that seeking and counting agree with them."""
    info = probe_media(path)
    numbers = [number for _, number in read_all(path)]
    assert len(numbers) == info.n_frames
    assert [number for _, number in read_all(path, range(info.n_frames), info.timestamps)] == numbers
    for index in range(0, info.n_frames, 7):
        assert read_all(path, [index], info.timestamps) == [(index, numbers[index])]
    return info, numbers


@pytest.mark.parametrize("options", [B_FRAMES, FAST])
def test_damage_costs_the_frames_up_to_the_next_key_frame_and_is_counted(tmp_path, options):
    whole = encode(tmp_path / "a.mp4", "libx264", "yuv420p", (96, 64), options)
    info, numbers = read_damaged(damage(whole, tmp_path / "b.mp4", [50, 51, 74]))
    assert set(range(48)) | set(range(60, 72)) | set(range(84, 100)) <= set(numbers)
    assert not {50, 51, 52, 53} & set(numbers)
    assert len(numbers) < 96
    assert numbers == sorted(numbers)
    assert info.problem == f"is damaged: {len(numbers)} of about 100 frames can be decoded"
    np.testing.assert_allclose(info.timestamps, np.array(numbers) / 25, atol=1e-6)
    assert sum(gap.frames for gap in info.gaps) == 100 - len(numbers)
    for gap in info.gaps:
        assert numbers[gap.before] - numbers[gap.before - 1] == gap.frames + 1


def test_in_mjpeg_only_the_damaged_pictures_are_lost(tmp_path):
    whole = encode(tmp_path / "a.avi", *KINDS["mjpeg"][1:])
    data = bytearray(whole.read_bytes())
    for number in (20, 21, 70):
        position, size, _ = list_packets(whole)[number]
        data[position : position + size] = bytes(size)
    (tmp_path / "b.avi").write_bytes(data)
    info, numbers = read_damaged(tmp_path / "b.avi")
    assert numbers == [i for i in range(100) if i not in (20, 21, 70)]
    assert info.gaps == (Gap(before=20, frames=2), Gap(before=68, frames=1))


@pytest.mark.parametrize("kind", ["h264 in ts", "h264 in avi", "h264 with open groups"])
def test_a_hole_in_the_bytes_gives_no_false_picture(tmp_path, kind):
    name, *rest = KINDS[kind]
    data = bytearray(encode(tmp_path / name, *rest).read_bytes())
    start, end = (int(len(data) * share) // 188 * 188 for share in (0.45, 0.55))
    del data[start:end]
    holed = tmp_path / f"holed{name[1:]}"
    holed.write_bytes(data)
    info, numbers = read_damaged(holed)
    assert 20 < len(numbers) < 100
    assert numbers == sorted(set(numbers))
    assert info.problem is not None
    assert info.gaps


@pytest.mark.parametrize("kind", ["h264 with open groups", "vp9 of odd size"])
def test_what_the_reader_of_a_container_skips_is_damage_though_the_decoder_says_nothing(tmp_path, kind):
    name, *rest = KINDS[kind]
    data = encode(tmp_path / name, *rest).read_bytes()
    packets = list_packets(tmp_path / name)
    for first in (26, 50, 70):
        start, end = (position + size // 2 for position, size, _ in (packets[first], packets[first + 10]))
        holed = tmp_path / f"holed{name[1:]}"
        holed.write_bytes(data[:start] + data[end:])
        info = probe_media(holed)
        assert info.problem is not None, first
        assert sum(gap.frames for gap in info.gaps) == 100 - info.n_frames


def test_a_variable_rate_is_exact_by_index_and_by_time(tmp_path):
    rng = np.random.default_rng(2)
    pts = np.cumsum(rng.choice([17, 33, 34, 67, 250], N))
    for name in ("a.mp4", "a.mkv"):
        path = write_video(tmp_path / name, N, pts=pts.tolist(), time_base=Fraction(1, 1000))
        info = probe_media(path)
        np.testing.assert_allclose(np.diff(info.timestamps), np.diff(pts) / 1000, atol=1e-3)
        assert info.gaps == ()
        for index in (0, 13, 50, 51, 72, 99):
            assert read_all(path, [index], info.timestamps) == [(index, index)]


def test_frames_that_a_camera_left_out_are_marked_though_nothing_is_damaged(tmp_path):
    kept = [i for i in range(N) if i not in (30, 31, 32, 70)]
    path = write_video(tmp_path / "a.mp4", len(kept), pts=kept)
    info = probe_media(path)
    assert (info.n_frames, info.problem) == (96, None)
    assert info.gaps == (Gap(before=30, frames=3), Gap(before=67, frames=1))


@pytest.mark.parametrize("degrees", [90, 180, 270])
def test_turned_video_is_exact_after_seeking(tmp_path, degrees):
    upright = write_video(tmp_path / "a.mp4", N)
    turned = rotate_video(upright, tmp_path / "b.mp4", degrees)
    times = probe_media(turned).timestamps
    for index in (3, 60, 99):
        expected = np.rot90(read_frame(upright, index), -degrees // 90)
        np.testing.assert_array_equal(read_frame(turned, index, timestamps=times), expected)


def test_an_angle_that_is_no_quarter_turn_turns_nothing(tmp_path):
    upright = write_video(tmp_path / "a.mp4", 6)
    turned = rotate_video(upright, tmp_path / "b.mp4", 10)
    info = probe_media(turned)
    assert (info.width, info.height) == (96, 64)
    np.testing.assert_array_equal(read_frame(turned, 3), read_frame(upright, 3))


def test_sound_or_none_makes_no_difference(tmp_path):
    silent = write_video(tmp_path / "a.mp4", 40)
    loud = write_video(tmp_path / "b.mp4", 40, audio_seconds=1.6)
    assert read_all(silent) == read_all(loud) == [(i, i) for i in range(40)]
    np.testing.assert_allclose(probe_media(silent).timestamps, probe_media(loud).timestamps, atol=1e-6)
    assert probe_media(loud).problem is None


def test_letters_of_no_known_encoding_in_a_title_do_no_harm(tmp_path):
    path = write_video(tmp_path / "a.mkv", 5)
    with av.open(str(path)) as source, av.open(str(tmp_path / "b.mkv"), "w") as out:
        out.metadata["title"] = "Klasse XYZ"
        stream = out.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.size:
                packet.stream = stream
                out.mux(packet)
    (tmp_path / "b.mkv").write_bytes((tmp_path / "b.mkv").read_bytes().replace(b"Klasse XYZ", b"Kl\xe4ss\xe9 \xfc\xffZ"))
    assert probe_media(tmp_path / "b.mkv").n_frames == 5
