"""Faces and hands of found people: where the workspace asks for them, once, also of clips that were preannotated before."""

import json
import shutil

import numpy as np
import pytest
from attrs import evolve
from fixtures_media import run_curate

from curation.config import Config, Preannotation, create_workspace
from curation.engines.readings import poses_at
from curation.ingest import add_media
from curation.preannotate import preannotate
from curation.readings import list_kinds, read_people
from curation.store import ArrayStore, Catalogue
from curation.store.readings import ReadingStore
from schemas.records import PoseTrack

TIMES = np.arange(40) / 10


def make_track(frames, *, filled=(), name="t"):
    n = len(frames)
    pose = np.tile(np.asarray(frames, np.float32)[:, None, None], (1, 33, 4))
    boxes = np.tile(np.float32([0, 0, 10, 10]), (n, 1))
    flags = np.isin(frames, filled)
    return PoseTrack(id=name, clip_id="c", frames=frames, boxes_xyxy=boxes, pose_px=pose, filled=flags)


def test_poses_between_two_frames_lie_between_them():
    tracks = [make_track([0, 2, 4]), make_track([2, 3], name="u")]
    ids, pose = poses_at(tracks, 3, TIMES)
    assert ids.tolist() == ["t", "u"]
    assert pose[:, 0, 0].tolist() == [3, 3]
    assert poses_at(tracks, 4, TIMES)[0].tolist() == ["t"]
    assert poses_at(tracks, 1, TIMES)[1][:, 5, 1].tolist() == [1]


def test_nobody_is_read_where_they_were_not_seen():
    track = make_track([0, 2, 4, 12, 14], filled=[2, 4])
    assert [f for f in range(16) if len(poses_at([track], f, TIMES)[0])] == [0, 12, 13, 14]
    assert poses_at([], 3, TIMES)[1].shape == (0, 33, 4)


def test_nothing_is_read_unless_asked_for(tmp_path):
    workspace = create_workspace(tmp_path / "work")
    assert list_kinds(workspace.config.preannotation) == []
    with Catalogue.open(workspace.catalogue_url) as catalogue:
        assert read_people(workspace, catalogue).clips == 0


@pytest.fixture(scope="module")
def photo(tmp_path_factory):
    """A workspace with a photo of one person (face of 95 px), preannotated without readings."""
    data = pytest.importorskip("skimage.data")
    import cv2

    folder = tmp_path_factory.mktemp("photo")
    cv2.imwrite(str(folder / "astronaut.png"), cv2.cvtColor(data.astronaut(), cv2.COLOR_RGB2BGR))
    workspace = create_workspace(folder / "work", Config(preannotation=Preannotation(workers=1)))
    with Catalogue.open(workspace.catalogue_url) as catalogue:
        add_media(workspace, catalogue, [folder / "astronaut.png"])
        preannotate(workspace, catalogue, ArrayStore(workspace.folder("arrays")))
    return workspace


def _ask(workspace, **wanted):
    settings = workspace.config.preannotation.model_copy(update=wanted)
    return evolve(workspace, config=workspace.config.model_copy(update={"preannotation": settings}))


@pytest.mark.usefixtures("bundle_folder")
def test_a_clip_found_before_is_read_later_and_once(photo):
    tracks = ArrayStore(photo.folder("arrays")).digest()
    asked = _ask(photo, faces=True, hands=True)
    with Catalogue.open(photo.catalogue_url) as catalogue:
        first = read_people(asked, catalogue)
        store, (clip,) = ReadingStore(photo.folder("arrays")), catalogue.list_clips()
        faces = store.read("faces", clip.id)
        assert (first.clips, first.faces, first.set_aside) == (1, 1, [])
        assert 70 < faces["size_px"][0] < 120
        assert abs(faces["yaw"][0]) < 25
        assert (np.nanmean([faces["eye_right"][0], faces["eye_left"][0]])) > 0.2
        assert store.has("hands", clip.id)
        assert read_people(asked, catalogue).clips == 0
        before = (photo.folder("arrays") / "faces" / f"{clip.id}.parquet").read_bytes()
        shutil.rmtree(photo.folder("arrays") / "faces")
        again = read_people(asked, catalogue)
        assert again.clips == 1
        assert (photo.folder("arrays") / "faces" / f"{clip.id}.parquet").read_bytes() == before
    assert ArrayStore(photo.folder("arrays")).digest() == tracks


@pytest.mark.usefixtures("bundle_folder")
def test_the_command_reads_what_the_settings_ask_for(photo, tmp_path):
    shutil.copytree(photo.root, tmp_path / "work")
    toml = tmp_path / "work" / "curate.toml"
    toml.write_text(toml.read_text("utf-8").replace("faces = false", "faces = true"), "utf-8")
    shutil.rmtree(tmp_path / "work" / "arrays" / "faces", ignore_errors=True)
    done = run_curate("preannotate", "--json", cwd=tmp_path / "work")
    assert done.returncode == 0
    assert json.loads(done.stdout)["faces"] == 1


@pytest.mark.usefixtures("bundle_folder")
def test_a_changed_file_is_set_aside(photo, tmp_path):
    shutil.copytree(photo.root, tmp_path / "work")
    shutil.rmtree(tmp_path / "work" / "arrays" / "faces", ignore_errors=True)
    workspace = _ask(evolve(photo, root=tmp_path / "work"), faces=True)
    with Catalogue.open(workspace.catalogue_url) as catalogue:
        (clip,) = catalogue.list_clips()
        path = type(tmp_path)(clip.uri)
        whole = path.read_bytes()
        path.write_bytes(whole + b"\0")
        try:
            result = read_people(workspace, catalogue)
        finally:
            path.write_bytes(whole)
    assert (result.clips, result.set_aside) == (0, [(clip.uri, "has changed since it was added; add it again")])
