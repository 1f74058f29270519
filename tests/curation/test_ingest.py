"""Adding media: by content, once, with what the sidecar and the command say; bad files are left out."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from fixtures_media import run_curate, write_video
from PIL import Image

from curation.config import create_workspace
from curation.ingest import add_media, find_media, parse_context, read_sidecar
from curation.media import probe_media
from curation.store import Catalogue
from schemas.errors import FormatError, InvalidField, MediaError
from schemas.records import Clip, Gap, Seat


@pytest.fixture
def workspace(tmp_path):
    return create_workspace(tmp_path / "work")


@pytest.fixture
def catalogue(workspace):
    with Catalogue.open(workspace.catalogue_url) as opened:
        yield opened


@pytest.fixture
def media(tmp_path, numbered_video):
    folder = tmp_path / "media"
    (folder / "sub" / ".hidden").mkdir(parents=True)
    shutil.copy(numbered_video, folder / "b.mp4")
    write_video(folder / "sub" / "a.MKV", 10)
    Image.new("RGB", (20, 10)).save(folder / "photo.png")
    shutil.copy(numbered_video, folder / "sub" / ".hidden" / "c.mp4")
    (folder / "b.truth.npz").write_bytes(b"x")
    (folder / "notes.txt").write_text("x")
    return folder


def test_a_clip_is_what_the_file_holds(workspace, catalogue, numbered_video):
    result = add_media(workspace, catalogue, [numbered_video])
    info = probe_media(numbered_video)
    (clip,) = catalogue.list_clips()
    assert result.added == [clip]
    assert clip == Clip(
        id=Clip.compute_id(info.sha256),
        uri=str(numbered_video.resolve()),
        sha256=info.sha256,
        n_frames=120,
        fps=info.fps,
        width=info.width,
        height=info.height,
        timestamps=info.timestamps,
        lesson="numbered",
    )


def test_folders_are_walked_for_media_only(media, workspace, catalogue):
    assert [path.name for path in find_media(media)] == ["b.mp4", "photo.png", "a.MKV"]
    result = add_media(workspace, catalogue, [media, media / "b.mp4"])
    assert sorted(clip.lesson for clip in result.added) == ["a", "b", "photo"]
    assert (result.there, result.failed) == ([], [])


def test_the_workspaces_own_files_are_not_media(workspace, catalogue, numbered_video):
    shutil.copy(numbered_video, workspace.root / "mine.mp4")
    Image.new("RGB", (9, 9)).save(workspace.folder("crops") / "crop.png")
    result = add_media(workspace, catalogue, [workspace.root])
    assert [clip.lesson for clip in result.added] == ["mine"]


def test_the_same_content_is_one_clip_under_any_name(media, workspace, catalogue, tmp_path):
    add_media(workspace, catalogue, [media / "b.mp4"])
    before = catalogue.digest()
    twin = shutil.copy(media / "b.mp4", tmp_path / "other name.mov")
    again = add_media(workspace, catalogue, [media / "b.mp4", twin], lesson="another")
    (clip,) = catalogue.list_clips()
    assert again.added == []
    assert again.there == [(media / "b.mp4", clip.id), (tmp_path / "other name.mov", clip.id)]
    assert catalogue.digest() == before


def test_two_names_in_one_run_are_one_clip(media, workspace, catalogue):
    shutil.copy(media / "b.mp4", media / "c.mp4")
    result = add_media(workspace, catalogue, [media / "b.mp4", media / "c.mp4"])
    assert [clip.lesson for clip in result.added] == ["b"]
    assert result.there == [(media / "c.mp4", result.added[0].id)]


def test_bad_files_are_left_out_and_good_ones_added(media, workspace, catalogue, bad_media):
    result = add_media(workspace, catalogue, [bad_media["text"], media, bad_media["missing"], bad_media["zero"]])
    assert len(result.added) == len(catalogue.list_clips()) == 3
    reasons = {path.name: reason for path, reason in result.failed}
    assert sorted(reasons) == ["missing.mp4", "text.mp4", "zero.mp4"]
    assert reasons["missing.mp4"] == "no such file"
    assert reasons["zero.mp4"] == "is empty (0 bytes)"


def test_a_folder_without_media_is_named(tmp_path, workspace, catalogue):
    (tmp_path / "empty").mkdir()
    result = add_media(workspace, catalogue, [tmp_path / "empty"])
    assert result.failed == [(tmp_path / "empty", "holds no video and no image")]
    with pytest.raises(MediaError, match="no such file"):
        list(find_media(tmp_path / "nowhere"))


def test_a_truncated_video_is_refused_unless_wanted(workspace, catalogue, bad_media):
    (entry,) = add_media(workspace, catalogue, [bad_media["truncated"]]).failed
    n_frames = probe_media(bad_media["truncated"]).n_frames
    assert entry[1] == (f"is truncated: {n_frames} of about 120 frames can be decoded; --allow-truncated takes those")
    assert catalogue.list_clips() == []
    (clip,) = add_media(workspace, catalogue, [bad_media["truncated"]], allow_truncated=True).added
    assert clip.n_frames == n_frames


def test_lost_frames_stay_marked_with_the_clip(workspace, catalogue, bad_media):
    done = run_curate("add", bad_media["truncated"], "--allow-truncated", "--json", cwd=workspace.root)
    (clip,) = catalogue.list_clips()
    assert clip.gaps == (Gap(before=clip.n_frames, frames=120 - clip.n_frames),)
    assert json.loads(done.stdout)["added"] == [
        {"clip": clip.id, "file": clip.uri, "frames": clip.n_frames, "lost": 120 - clip.n_frames}
    ]
    assert f"{120 - clip.n_frames} frames are lost in 1 places" in done.stderr
    told = run_curate("status", "--json", cwd=workspace.root)
    assert json.loads(told.stdout)["work"]["lost_frames"] == clip.n_lost


SAYS = {
    "lesson": "maths",
    "camera": "front",
    "school": "north",
    "context": {"location": "room 4", "time": "morning"},
    "seats": [{"student": "s1", "box_xyxy": [0, 0, 20, 30]}],
}


def test_the_sidecar_says_what_was_filmed(media, workspace, catalogue):
    (media / "b.clip.json").write_text(json.dumps(SAYS))
    (clip,) = add_media(workspace, catalogue, [media / "b.mp4"]).added
    assert (clip.lesson, clip.camera, clip.school) == ("maths", "front", "north")
    assert clip.context == {"location": "room 4", "time": "morning"}
    assert clip.seats == (Seat(student="s1", box_xyxy=(0, 0, 20, 30)),)


def test_the_command_overrides_the_sidecar(media, workspace, catalogue):
    (media / "b.clip.json").write_text(json.dumps(SAYS))
    said = {"lesson": "physics", "camera": "rear", "context": {"time": "noon"}}
    (clip,) = add_media(workspace, catalogue, [media / "b.mp4"], **said).added
    assert (clip.lesson, clip.camera, clip.school) == ("physics", "rear", "north")
    assert clip.context == {"location": "room 4", "time": "noon"}


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{", "file: expected JSON"),
        ('{"lessn": "x"}', "lessn: expected what a clip sidecar may say"),
        ('{"seats": [{"student": "a"}]}', "seats.0.box_xyxy"),
        ('{"context": {"weather": "rain"}}', "context: expected a category among user"),
        ('{"seats": [{"student": "a", "box_xyxy": [5, 5, 1, 9]}]}', "seat.box_xyxy: expected four finite numbers"),
    ],
)
def test_a_bad_sidecar_leaves_its_file_out(media, workspace, catalogue, text, reason):
    (media / "b.clip.json").write_text(text)
    (entry,) = add_media(workspace, catalogue, [media / "b.mp4"]).failed
    assert reason in entry[1]
    assert catalogue.list_clips() == []


def test_a_sidecar_that_is_no_json_is_a_format_error(media):
    (media / "b.clip.json").write_text("[]")
    with pytest.raises(FormatError, match=r"b\.clip\.json: file: expected what a clip sidecar may say"):
        read_sidecar(media / "b.mp4")
    assert read_sidecar(media / "photo.png").lesson is None


def test_context_is_one_of_six_categories(workspace, catalogue, media):
    assert parse_context(["time=8:15", "location = room=4 "]) == {"time": "8:15", "location": "room=4"}
    for wrong in ("time", "time=", "weather=rain"):
        with pytest.raises(InvalidField, match="context"):
            parse_context([wrong])
    with pytest.raises(InvalidField, match="category among"):
        add_media(workspace, catalogue, [media], context={"weather": "rain"})
    assert catalogue.list_clips() == []


def test_sources_are_never_changed(media, workspace, catalogue):
    def look():
        return {p: (p.read_bytes(), p.stat().st_mtime_ns, p.stat().st_mode) for p in media.rglob("*") if p.is_file()}

    before = look()
    add_media(workspace, catalogue, [media])
    assert look() == before


def test_still_images_and_odd_times_survive_the_catalogue(tmp_path, workspace, catalogue):
    Image.new("L", (33, 21)).save(tmp_path / "grey.png")
    add_media(workspace, catalogue, [tmp_path / "grey.png"])
    (clip,) = catalogue.list_clips()
    assert (clip.n_frames, clip.fps, clip.width, clip.height) == (1, 0.0, 33, 21)
    np.testing.assert_array_equal(clip.timestamps, [0.0])
