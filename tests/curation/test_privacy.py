"""Heads and faces are covered in every copy that a server sees, for good and beyond recovery; sources stay as they are."""

from __future__ import annotations

import ast
import hashlib
import json
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from attrs import evolve
from fixtures_labelstudio import find_free_port
from fixtures_media import run_curate
from fixtures_privacy import (
    STRONG,
    compare_heads,
    fill_photo,
    fill_rendered,
    find_true_heads,
    list_media,
    list_true_heads,
    read_copy,
)

from curation.blur import Blurrer, cover_boxes, find_track_heads
from curation.config import create_workspace
from curation.copies import write_copy
from curation.ingest import make_clip
from curation.labelstudio.tasks import find_frame, plan_tasks, write_frames
from curation.media import iter_frames, probe_media, read_frame
from curation.privacy import find_level, open_shown_frames, protect_copies
from curation.review.crops import write_tiles
from curation.review.tiles import plan_tile
from curation.store import ArrayStore, Catalogue
from schemas.errors import FormatError, InvalidField, WorkspaceError
from schemas.records import PoseTrack


def write_all(workspace):
    """Make every copy that `label push` and `review open` make; return the tasks' plans."""
    with Catalogue.open(workspace.catalogue_url) as catalogue:
        plans = list(write_frames(workspace, plan_tasks(workspace, catalogue)))
        tubelets, clips = catalogue.list_tubelets(), {clip.id: clip for clip in catalogue.list_clips()}
    tracks = {t.id: t for clip in clips for t in ArrayStore(workspace.folder("arrays")).read_tracks(clip)}
    tiles = {t.id: plan_tile(t, tracks[t.track_id], clips[t.clip_id]) for t in tubelets}
    assert write_tiles(workspace, clips, tubelets, tiles, tracks) == {}
    return plans


@pytest.fixture(scope="module")
def shown(tmp_path_factory, tiny_lessons, bundle_folder):
    """The same rendered lesson in a workspace that covers heads and in one that covers nothing, with all copies."""
    folder = tmp_path_factory.mktemp("privacy")
    covered, truth = fill_rendered(folder / "covered", tiny_lessons[0], privacy={"blur": "heads"})
    plain, _ = fill_rendered(folder / "plain", tiny_lessons[0])
    write_all(covered)
    write_all(plain)
    return covered, plain, truth


def test_no_head_is_left_in_the_pictures_for_annotators(shown, tiny_lessons):
    covered, plain, truth = shown
    n_heads = 0
    with Catalogue.open(covered.catalogue_url) as catalogue:
        plans = plan_tasks(covered, catalogue)
    for plan in plans:
        source, copy = read_frame(tiny_lessons[0], plan.frame), read_copy(find_frame(covered, plan))
        heads = find_true_heads(truth, plan.frame)
        measured = compare_heads(source, copy, heads)
        n_heads += len(measured)
        assert (measured[:, 0] < STRONG).all(), measured
        assert (measured[:, 1] < 0.5).all(), measured
        assert (compare_heads(source, read_copy(find_frame(plain, plan)), heads)[:, 0] > 0.8).all()
        outside = np.ones(source.shape[:2], bool)
        for x1, y1, x2, y2 in heads.astype(int):
            side = 3 * max(x2 - x1, y2 - y1)
            outside[max(y1 - side, 0) : y2 + side, max(x1 - side, 0) : x2 + side] = False
        assert np.abs(source.astype(int) - copy)[outside].mean() < 4
    assert n_heads >= 4


def test_no_head_and_no_face_is_left_in_any_copy(shown, count_faces):
    covered, plain, truth = shown
    heads = list_true_heads(covered, truth)
    assert list_media(covered.root) == sorted(heads)
    n_faces = 0
    for path, boxes in heads.items():
        copy, source = read_copy(path), read_copy(plain.root / path.relative_to(covered.root))
        assert (compare_heads(source, copy, boxes)[:, 0] < STRONG).all()
        n_faces += (count_faces(source, boxes) > 0).sum()
        assert not count_faces(copy, boxes).any()
    assert n_faces >= 8


@pytest.fixture
def photo(tmp_path, astronaut):
    """A photo of a real person as a clip; nobody is followed in it."""
    cv2.imwrite(str(tmp_path / "photo.png"), astronaut[:, :, ::-1])
    return make_clip(probe_media(tmp_path / "photo.png"))


@pytest.mark.parametrize("level", ["faces", "heads"])
def test_a_real_face_that_nobody_follows_is_covered(photo, astronaut, count_faces, level):
    with Blurrer(level) as blurrer:
        ((_, _, copy),) = blurrer.iter_frames(photo, [])
    face = [[173, 67, 276, 170]]
    assert count_faces(astronaut, face) >= 1
    assert count_faces(copy, face) == 0
    ((similar, detail),) = compare_heads(astronaut, copy, face)
    assert similar < STRONG
    assert detail < 0.2
    assert (copy == astronaut).mean() > 0.6


def test_heads_covers_the_hair_too(photo, astronaut):
    copies = {}
    for level in ("faces", "heads"):
        with Blurrer(level) as blurrer:
            ((_, _, copies[level]),) = blurrer.iter_frames(photo, [])
    changed = {level: (copy != astronaut).any(axis=2).sum() for level, copy in copies.items()}
    assert changed["heads"] > 1.5 * changed["faces"]


def make_followed(frames, x=100.0, pose=True):
    """Somebody with a head of about 40 px whose nose is at (x + frame, 60)."""
    from fixtures_people import make_pose

    poses = np.stack([make_pose(x + f, 60, 40) for f in frames]) if pose else np.full((len(frames), 33, 4), np.nan)
    boxes = np.stack([[x + f - 50, 20, x + f + 50, 220] for f in frames])
    return PoseTrack(id="t", clip_id="c", frames=frames, boxes_xyxy=boxes, pose_px=poses)


TIMES = np.arange(400) / 25


@pytest.mark.parametrize("level", ["faces", "heads"])
def test_the_pose_says_where_a_head_is_when_the_detector_does_not(level):
    track = make_followed([0, 4, 8])
    (box,) = find_track_heads([track], TIMES, 4, level)
    assert (box[:2] < [104 - 20, 60 - 20]).all()
    assert (box[2:] > [104 + 20, 60 + 20]).all()
    (between,) = find_track_heads([track], TIMES, 6, level)
    assert between[0] <= find_track_heads([track], TIMES, 4, level)[0][0]
    assert between[2] >= find_track_heads([track], TIMES, 8, level)[0][2]


def test_gaps_in_a_track_are_filled_and_its_ends_reach_out():
    track = make_followed([50, 54, 300])
    (box,) = find_track_heads([track], TIMES, 180, "heads")
    assert box[0] < 154 - 20
    assert box[2] > 400 + 20
    assert len(find_track_heads([track], TIMES, 26, "heads")) == 1
    assert len(find_track_heads([track], TIMES, 20, "heads")) == 0
    assert len(find_track_heads([track], TIMES, 324, "heads")) == 1
    assert len(find_track_heads([track], TIMES, 330, "heads")) == 0


def test_without_landmarks_the_top_of_the_box_is_covered():
    (box,) = find_track_heads([make_followed([0], pose=False)], TIMES, 0, "heads")
    np.testing.assert_allclose(box, [50, 20, 150, 110])


def test_what_is_covered_is_gone_for_good():
    rng = np.random.default_rng(0)
    picture = rng.integers(0, 256, (64, 80, 3), np.uint8)
    other = picture.copy()
    for top in range(0, 30, 10):
        for left in range(0, 30, 10):
            cell = other[top : top + 10, left : left + 10].reshape(-1, 3)
            other[top : top + 10, left : left + 10] = rng.permutation(cell).reshape(10, 10, 3)
    box = np.array([[0.0, 0, 30, 30]])
    assert (picture[:30, :30] != other[:30, :30]).any()
    np.testing.assert_array_equal(cover_boxes(picture, box), cover_boxes(other, box))
    np.testing.assert_array_equal(cover_boxes(picture, box)[:, 30:], picture[:, 30:])
    np.testing.assert_array_equal(cover_boxes(picture, np.array([[90.0, 0, 99, 9], [-9, -9, 0, 0]])), picture)


@pytest.fixture
def workspace(tmp_path, photo, bundle_folder):
    return fill_photo(tmp_path / "w", photo.uri)


def test_an_option_holds_from_then_on_and_replaces_what_showed_more(workspace):
    write_all(workspace)
    paths = list_media(workspace.folder("crops"))
    open_bytes = {path: path.read_bytes() for path in paths}
    assert find_level(workspace) == "none"
    assert protect_copies(workspace, "heads") == len(paths)
    assert list_media(workspace.folder("crops")) == []
    assert find_level(workspace) == "heads"
    assert protect_copies(workspace) == protect_copies(workspace, "heads") == 0
    write_all(workspace)
    assert list_media(workspace.folder("crops")) == paths
    assert all(path.read_bytes() != open_bytes[path] for path in paths)
    for weaker in ("faces", "none"):
        with pytest.raises(InvalidField, match="blur: expected 'heads', as this workspace says"):
            protect_copies(workspace, weaker)


def test_a_setting_in_the_workspace_reaches_copies_that_are_there_already(workspace):
    plans = write_all(workspace)
    before = find_frame(workspace, plans[0]).read_bytes()
    settings = workspace.config.model_copy(update={"privacy": workspace.config.privacy.model_copy(update={"blur": "faces"})})
    with Catalogue.open(workspace.catalogue_url) as catalogue:
        deep = list(write_frames(evolve(workspace, config=settings), plan_tasks(workspace, catalogue)))
    assert find_frame(workspace, deep[0]).read_bytes() != before
    assert find_level(workspace) == "faces"  # still, though curate.toml says none again


def test_a_replacement_that_broke_off_is_finished_first(workspace):
    write_all(workspace)
    (workspace.root / "privacy.json").write_text('{"blur": "heads", "clean": false}')
    with open_shown_frames(workspace):
        assert list_media(workspace.folder("crops")) == []


def test_a_damaged_note_of_what_is_covered_is_no_licence(workspace):
    for text in ("{", '{"blur": "some", "clean": true}', "[]"):
        (workspace.root / "privacy.json").write_text(text)
        with pytest.raises(FormatError, match=r"privacy\.json"), open_shown_frames(workspace):
            pass


def test_the_command_line_refuses_to_show_more(workspace):
    protect_copies(workspace, "heads")
    done = run_curate("review", "open", "--build", "--port", find_free_port(), "--blur", "faces", cwd=workspace.root)
    assert done.returncode == 1
    assert done.stderr.startswith("curate: blur: expected 'heads', as this workspace says")


def test_copies_for_servers_have_one_door():
    root = Path(__file__).parents[2] / "curation"
    for path in [*(root / "labelstudio").rglob("*.py"), *(root / "review").rglob("*.py")]:
        names = {
            alias.name for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.ImportFrom) for alias in node.names
        }
        assert not names & {"iter_frames", "read_frame", "load_image"}, f"{path} reads media past curation.privacy"


def test_a_whole_copy_has_the_same_frames_at_the_same_times(tmp_path, astronaut, bundle_folder):
    small = cv2.resize(astronaut, (256, 256), interpolation=cv2.INTER_AREA)
    pts = np.cumsum([0, 40, 60, 1, 399, 40, 1460, *[33] * 13])
    source = tmp_path / "lesson.mp4"
    with av.open(str(source), "w") as out:
        stream = out.add_stream("libx264", rate=25, options={"crf": "16"})
        stream.width, stream.height, stream.pix_fmt = 256, 256, "yuv420p"
        stream.codec_context.time_base = Fraction(1, 1000)
        for number, ticks in enumerate(pts):
            frame = av.VideoFrame.from_ndarray(np.roll(small, 2 * number, axis=1), format="rgb24")
            frame.pts, frame.time_base = int(ticks), Fraction(1, 1000)
            out.mux(stream.encode(frame))
        out.mux(stream.encode())
    before = hashlib.sha256(source.read_bytes()).hexdigest()
    workspace = fill_photo(tmp_path / "work", source)
    done = run_curate("blur", source, "--out", tmp_path / "out", "--json", cwd=workspace.root)
    (path,) = json.loads(done.stdout)["copies"]
    info, copy = probe_media(source), probe_media(path)
    assert (copy.n_frames, copy.width, copy.height) == (20, 256, 256)
    np.testing.assert_allclose(copy.timestamps, info.timestamps, atol=1 / 90_000)
    for (number, _, rgb), (_, _, covered) in zip(iter_frames(source), iter_frames(path), strict=True):
        face = [[86 + 2 * number, 33, 138 + 2 * number, 85]]
        ((similar, detail),) = compare_heads(rgb, covered, face)
        assert similar < STRONG, number
        assert detail < 0.2, number
    assert hashlib.sha256(source.read_bytes()).hexdigest() == before


def test_a_copy_wants_to_know_the_people_first(tmp_path, numbered_video, bundle_folder):
    workspace = create_workspace(tmp_path / "w")
    with Blurrer("faces") as blurrer, pytest.raises(WorkspaceError, match="run `curate preannotate`"):
        write_copy(workspace, make_clip(probe_media(numbered_video)), tmp_path, blurrer)


def test_proposals_show_covered_pictures_too(tmp_path, photo, astronaut, count_faces):
    options = ["propose", photo.uri, "--out", tmp_path / "tasks.json", "--fps", "1", "--blur", "heads"]
    assert run_curate(*options).returncode == 0
    (task,) = json.loads((tmp_path / "tasks.json").read_text())
    picture = Path(task["data"]["image"])
    assert picture.parent == tmp_path / "tasks-pictures"
    face = [[173, 67, 276, 170]]
    assert count_faces(read_copy(picture), face) == 0
    assert compare_heads(astronaut, read_copy(picture), face)[0, 0] < STRONG
