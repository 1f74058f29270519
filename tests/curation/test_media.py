"""Frames by index and container time, from videos and images of every kind."""

from __future__ import annotations

import hashlib
from fractions import Fraction

import numpy as np
import pytest
from fixtures_media import HEIGHT, WIDTH, cut_file, draw_number, read_number, rotate_video, write_video
from PIL import Image

from curation.media import hash_file, iter_frames, probe_media, read_frame
from schemas.errors import InvalidField, MediaError


def _numbers(path, indices=None, **options):
    return [(index, read_number(rgb)) for index, _, rgb in iter_frames(path, indices, **options)]


def test_a_probe_says_what_the_file_holds(numbered_video):
    info = probe_media(numbered_video)
    assert (info.n_frames, info.width, info.height, info.is_image, info.problem) == (120, WIDTH, HEIGHT, False, None)
    assert info.fps == pytest.approx(25)
    np.testing.assert_allclose(info.timestamps, np.arange(120) / 25, atol=1e-9)
    assert info.sha256 == hashlib.sha256(numbered_video.read_bytes()).hexdigest() == hash_file(numbered_video)


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "avi", "ts", "mov"])
def test_every_container_gives_every_frame_once_and_in_order(tmp_path, suffix):
    path = write_video(tmp_path / f"a.{suffix}", 40)
    assert _numbers(path) == [(i, i) for i in range(40)]
    info = probe_media(path)
    assert info.n_frames == 40
    assert info.problem is None
    assert (np.diff(info.timestamps) > 0).all()


def test_webm_by_vp9(tmp_path):
    path = write_video(tmp_path / "a.webm", 15, codec="libvpx-vp9")
    assert _numbers(path) == [(i, i) for i in range(15)]


def test_indices_come_sorted_once_and_exact(numbered_video):
    assert _numbers(numbered_video, [70, 3, 3, 119, 0]) == [(0, 0), (3, 3), (70, 70), (119, 119)]
    assert list(iter_frames(numbered_video, [])) == []


def test_known_times_start_at_a_key_frame_and_change_nothing(numbered_video):
    info = probe_media(numbered_video)
    for index in (0, 30, 59, 60, 61, 100, 119):
        rgb = read_frame(numbered_video, index, timestamps=info.timestamps)
        assert read_number(rgb) == index
        np.testing.assert_array_equal(rgb, read_frame(numbered_video, index))


@pytest.mark.parametrize("suffix", ["mkv", "ts", "avi"])
def test_seeking_is_exact_in_other_containers(tmp_path, suffix):
    path = write_video(tmp_path / f"a.{suffix}", 120, gop=25)
    times = probe_media(path).timestamps
    assert [read_number(read_frame(path, i, timestamps=times)) for i in (55, 80, 99, 119)] == [55, 80, 99, 119]


def test_times_that_do_not_fit_the_file_fall_back_to_counting(numbered_video):
    wrong = probe_media(numbered_video).timestamps + 0.013
    assert _numbers(numbered_video, [90], timestamps=wrong) == [(90, 90)]


def test_times_are_the_containers_not_index_over_rate(tmp_path):
    pts = [0, 40, 100, 101, 500, 540, 2000]
    path = write_video(tmp_path / "vfr.mp4", len(pts), pts=pts, time_base=Fraction(1, 1000))
    info = probe_media(path)
    np.testing.assert_allclose(info.timestamps, np.array(pts) / 1000, atol=1e-3)
    assert [seconds for _, seconds, _ in iter_frames(path)] == list(info.timestamps)
    assert info.fps == pytest.approx(6 / 2.0, rel=1e-3)


def test_a_longer_sound_track_is_no_damage(tmp_path):
    info = probe_media(write_video(tmp_path / "a.mkv", 25, audio_seconds=4.0))
    assert (info.n_frames, info.problem) == (25, None)


@pytest.mark.parametrize(("degrees", "turns"), [(90, 3), (180, 2), (270, 1)])
def test_the_rotation_that_a_phone_writes_is_applied(tmp_path, degrees, turns):
    upright = write_video(tmp_path / "a.mp4", 6)
    turned = rotate_video(upright, tmp_path / "b.mp4", degrees)
    info = probe_media(turned)
    assert (info.width, info.height) == ((HEIGHT, WIDTH) if degrees != 180 else (WIDTH, HEIGHT))
    np.testing.assert_array_equal(read_frame(turned, 5), np.rot90(read_frame(upright, 5), turns))


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("missing", "no such file"),
        ("text", "cannot be read as a video or an image"),
        ("zero", "is empty"),
        ("noise", "cannot be read as a video or an image"),
        ("folder", "is not a file"),
        ("headless", "truncated"),
    ],
)
def test_what_is_no_media_is_refused_in_one_line(bad_media, kind, reason):
    for read in (probe_media, lambda path: list(iter_frames(path)), lambda path: read_frame(path, 0)):
        with pytest.raises(MediaError, match=reason) as caught:
            read(bad_media[kind])
        assert str(caught.value).startswith(f"{bad_media[kind]}: ")
        assert "\n" not in str(caught.value)


def test_a_truncated_video_gives_what_can_be_decoded_and_says_so(bad_media):
    info = probe_media(bad_media["truncated"])
    assert 0 < info.n_frames < 120
    assert info.problem == f"is truncated: {info.n_frames} of about 120 frames can be decoded"
    assert len(list(iter_frames(bad_media["truncated"]))) == info.n_frames


@pytest.mark.parametrize("suffix", ["mkv", "ts"])
def test_truncation_is_seen_in_streams_without_an_index(tmp_path, suffix):
    cut = cut_file(write_video(tmp_path / f"a.{suffix}", 100), tmp_path / f"cut.{suffix}", 0.601)
    assert "is truncated" in probe_media(cut).problem


def test_a_frame_that_is_not_there_is_refused(numbered_video, tmp_path):
    with pytest.raises(MediaError, match="has no frame 120; its last is 119"):
        list(iter_frames(numbered_video, [0, 120]))
    with pytest.raises(InvalidField, match="0-based frame indices"):
        list(iter_frames(numbered_video, [-1]))
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    with pytest.raises(MediaError, match="is a still image; it has no frame 3"):
        list(iter_frames(tmp_path / "a.png", [0, 3]))


GREY = (np.arange(40 * 60).reshape(40, 60) % 256).astype(np.uint8)
COLOUR = draw_number(0b10110010, 60, 40)


def _save(path, image, **options):
    image.save(path, **options)
    info = probe_media(path)
    assert (info.is_image, info.n_frames, info.fps, list(info.timestamps)) == (True, 1, 0.0, [0.0])
    rgb = read_frame(path, 0)
    assert rgb.dtype == np.uint8
    assert rgb.shape == (info.height, info.width, 3)
    return rgb


def test_a_colour_image_comes_as_it_is(tmp_path):
    np.testing.assert_array_equal(_save(tmp_path / "a.png", Image.fromarray(COLOUR)), COLOUR)
    np.testing.assert_array_equal(_save(tmp_path / "a.bmp", Image.fromarray(COLOUR)), COLOUR)


def test_grey_and_palette_are_expanded(tmp_path):
    np.testing.assert_array_equal(_save(tmp_path / "g.png", Image.fromarray(GREY)), np.repeat(GREY[..., None], 3, 2))
    palette = Image.fromarray(COLOUR).convert("P", palette=Image.Palette.ADAPTIVE)
    np.testing.assert_allclose(_save(tmp_path / "p.png", palette).astype(int), COLOUR, atol=3)
    np.testing.assert_array_equal(
        _save(tmp_path / "1.png", Image.fromarray(GREY > 100)), np.repeat((GREY > 100)[..., None] * 255, 3, 2)
    )


def test_sixteen_bits_are_scaled_not_cut(tmp_path):
    deep = GREY.astype(np.uint16) * 257
    for name in ("a.png", "a.tif"):
        np.testing.assert_array_equal(_save(tmp_path / name, Image.fromarray(deep)), np.repeat(GREY[..., None], 3, 2))
    assert read_frame(tmp_path / "a.png", 0)[0, 5].tolist() == [5, 5, 5]


def test_sixteen_bit_colour(tmp_path):
    import cv2

    cv2.imwrite(str(tmp_path / "c.png"), COLOUR[..., ::-1].astype(np.uint16) * 257)
    np.testing.assert_array_equal(read_frame(tmp_path / "c.png", 0), COLOUR)


def test_transparent_pixels_lie_on_white(tmp_path):
    layered = np.dstack([COLOUR, np.full(COLOUR.shape[:2], 255, np.uint8)])
    layered[:10, :, 3] = 0
    layered[10:20, :, 3] = 128
    rgb = _save(tmp_path / "a.png", Image.fromarray(layered))
    assert (rgb[:10] == 255).all()
    np.testing.assert_allclose(rgb[10:20].astype(int), (COLOUR[10:20].astype(int) * 128 + 255 * 127) / 255, atol=1)
    np.testing.assert_array_equal(rgb[20:], COLOUR[20:])
    grey = _save(tmp_path / "la.png", Image.merge("LA", [Image.fromarray(GREY), Image.new("L", (60, 40), 0)]))
    assert (grey == 255).all()


def test_exif_orientation_is_applied(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    rgb = _save(tmp_path / "a.jpg", Image.fromarray(COLOUR), exif=exif, quality=95)
    np.testing.assert_allclose(rgb.astype(int), np.rot90(COLOUR, 3), atol=60)
    assert rgb.shape[:2] == (60, 40)


def test_cmyk_jpeg(tmp_path):
    assert _save(tmp_path / "a.jpg", Image.fromarray(COLOUR).convert("CMYK")).shape == (40, 60, 3)


def test_an_image_named_as_a_video_is_read_by_its_content(tmp_path):
    Image.fromarray(COLOUR).save(tmp_path / "a.png")
    (tmp_path / "a.png").rename(tmp_path / "a.mp4")
    assert probe_media(tmp_path / "a.mp4").is_image


def test_a_moving_gif_is_a_video(tmp_path):
    frames = [Image.fromarray(draw_number(i)) for i in range(5)]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:], duration=100)
    info = probe_media(tmp_path / "a.gif")
    assert (info.n_frames, info.is_image) == (5, False)
    assert _numbers(tmp_path / "a.gif") == [(i, i) for i in range(5)]


def test_damaged_images_are_refused(tmp_path):
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (80, 80, 3), np.uint8)).save(tmp_path / "a.png")
    cut_file(tmp_path / "a.png", tmp_path / "cut.png", 0.5)
    with pytest.raises(MediaError, match=r"cannot be read as an image .*truncated"):
        probe_media(tmp_path / "cut.png")
    Image.fromarray(np.full((8, 8), 0.5, np.float32)).save(tmp_path / "f.tif")
    with pytest.raises(MediaError, match="floating-point pixels; expected 8 or 16 bits"):
        probe_media(tmp_path / "f.tif")


def test_reading_changes_no_file(numbered_video):
    before = (numbered_video.read_bytes(), numbered_video.stat().st_mtime_ns)
    probe_media(numbered_video)
    list(iter_frames(numbered_video, [5]))
    assert (numbered_video.read_bytes(), numbered_video.stat().st_mtime_ns) == before
