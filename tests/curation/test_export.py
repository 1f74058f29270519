import json
import os
import shutil
import signal
import subprocess
import sys
from collections import Counter

import numpy as np
import pytest
from fixtures_labelstudio import fill_workspace

from curation.building import build_folder, hash_tree
from curation.certificate import verify_certificate
from curation.config import Config, create_workspace
from curation.crops import cut_region, find_region
from curation.export import export_set, list_manifest_members, read_export
from curation.images import load_image
from curation.media import read_frame
from curation.split import make_split, read_split
from schemas.errors import FormatError, InvalidField, LeakError, MediaError, NotEnoughData, StorageError, UnknownName
from schemas.manifest import read_manifest, write_manifest
from schemas.records import HumanSpan, PredictedSpan, Verdict
from schemas.sequences import read_sequences


def add_verdict(school, tubelet, kind, value=None, made_at="2026-02-01T00:00:00.000000+00:00"):
    verdict = Verdict(tubelet_id=tubelet.id, axis="behaviour", kind=kind, curator="cur", made_at=made_at, value=value)
    assert school.catalogue.add_verdict(verdict)


def test_the_split_is_recorded_once_and_stays(make_school, learning_tools):
    school = make_school(6)
    split, certificate = make_split(school.workspace, school.catalogue)
    assert split.new
    assert len(split.lessons("test")) in (1, 2)
    assert certificate.sides["test"].n_tubelets == 12 * len(split.lessons("test"))
    again, _ = make_split(school.workspace, school.catalogue, seed=9, test_share=0.5)
    assert not again.new
    assert again.sides == split.sides
    assert len(school.catalogue.list_records("splits")) == 1
    pairs = learning_tools["add_lesson"](school.catalogue, school.arrays, "lesson-9", ("zoe", "s0a"))
    learning_tools["label"](school.catalogue, pairs)
    later, _ = make_split(school.workspace, school.catalogue)
    where = "aside" if split.sides["lesson-0"] == "test" else "train"
    assert later.sides == {**split.sides, "lesson-9": where}
    assert later.lessons("test") == split.lessons("test")
    assert [r["parent"] for r in school.catalogue.list_records("splits")] == [None, split.id]
    assert read_split(school.catalogue).sides == later.sides


def test_a_split_needs_labels_and_valid_shares(make_school):
    school = make_school(3, labelled=False)
    with pytest.raises(NotEnoughData, match="with labels"):
        make_split(school.workspace, school.catalogue)
    with pytest.raises(InvalidField, match="test share"):
        make_split(school.workspace, school.catalogue, test_share=1.5)
    with pytest.raises(InvalidField, match="val share"):
        make_split(school.workspace, school.catalogue, test_share=0.5, val_share=0.6)
    with pytest.raises(UnknownName, match="axis"):
        make_split(school.workspace, school.catalogue, axis="mood")
    assert school.catalogue.list_records("splits") == []


def test_an_export_holds_the_labels_with_verdicts_and_a_certificate_that_holds(make_school, tmp_path):
    school = make_school(6)
    pairs = [pair for lesson in school.pairs.values() for pair in lesson]
    dropped, changed = pairs[0][0], pairs[1][0]
    add_verdict(school, dropped, "drop")
    add_verdict(school, changed, "relabel", "stand")
    manifest = export_set(*school.all, tmp_path / "out", formats=("sequences", "coco"), balance="none", name="first")
    assert read_export(tmp_path / "out") == manifest
    assert sorted(manifest.files) == ["test.coco.json", "test.npz", "train.coco.json", "train.npz"]
    labels = {r.tubelet_id: r.label for rows in manifest.splits.values() for r in rows}
    assert dropped.id not in labels
    assert labels == {**{t.id: v for t, v in pairs if t.id != dropped.id}, changed.id: "stand"}
    assert next(r.annotator for rows in manifest.splits.values() for r in rows if r.tubelet_id == changed.id) == "cur"
    split = read_split(school.catalogue)
    for side, rows in manifest.splits.items():
        assert {r.lesson for r in rows} == set(split.lessons(side))
    verify_certificate(manifest.certificate, list_manifest_members(manifest))
    assert manifest.certificate["split"] == split.id
    for side in ("train", "test"):
        sequences = read_sequences(tmp_path / "out" / f"{side}.npz")
        assert sequences.id.tolist() == [r.tubelet_id for r in manifest.splits[side]]
        assert sequences.label.tolist() == [r.label for r in manifest.splits[side]]
        assert sequences.group.tolist() == [r.group for r in manifest.splits[side]]
    assert manifest.provenance.config_hash == school.workspace.config_hash
    (record,) = school.catalogue.list_records("exports")
    assert (record["name"], record["balance"]) == ("first", "none")
    assert record["counts"]["train"] == dict(sorted(Counter(r.label for r in manifest.splits["train"]).items()))


def test_only_the_train_side_is_balanced(make_school, tmp_path):
    school = make_school(6)
    rare = [t for lesson in school.pairs.values() for t, v in lesson if v == "sleep"]
    for tubelet in rare[::2]:
        add_verdict(school, tubelet, "drop")
    raw = export_set(*school.all, tmp_path / "raw", balance="none")
    even = export_set(*school.all, tmp_path / "even", balance="undersample")
    more = export_set(*school.all, tmp_path / "more", balance="oversample")
    assert even.splits["test"] == raw.splits["test"] == more.splits["test"]
    counts = {m.balance: Counter(r.label for r in m.splits["train"]) for m in (raw, even, more)}
    assert set(counts["undersample"].values()) == {min(counts["none"].values())}
    assert set(counts["oversample"].values()) == {max(counts["none"].values())}
    assert len(read_sequences(tmp_path / "more" / "train.npz")) == len(more.splits["train"])
    assert read_export(tmp_path / "more") == more


def test_predictions_are_never_exported(make_school, tmp_path):
    school = make_school(4, labelled=False)
    tubelets = [t for lesson in school.pairs.values() for t, _ in lesson]
    spans = [
        PredictedSpan(tubelet_id=t.id, axis="behaviour", value="write", model="m", version="1", scores={"write": 1.0})
        for t in tubelets
    ]
    school.catalogue.add_predictions(spans)
    with pytest.raises(NotEnoughData):
        export_set(*school.all, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_same_again_changes_nothing_and_gives_the_same_bytes_elsewhere(make_school, tmp_path):
    school = make_school(4)
    export_set(*school.all, tmp_path / "a", formats=("coco", "sequences"), name="x")
    stamps = {p: p.stat().st_mtime_ns for p in (tmp_path / "a").iterdir()}
    digest = school.catalogue.digest()
    export_set(*school.all, tmp_path / "a", formats=("coco", "sequences"), name="x")
    assert {p: p.stat().st_mtime_ns for p in (tmp_path / "a").iterdir()} == stamps
    assert school.catalogue.digest() == digest
    export_set(*school.all, tmp_path / "b", formats=("coco", "sequences"), name="x")
    assert hash_tree(tmp_path / "a") == hash_tree(tmp_path / "b")
    other = make_school(4, folder="again")
    export_set(*other.all, tmp_path / "c", formats=("coco", "sequences"), name="x")
    assert hash_tree(tmp_path / "a") == hash_tree(tmp_path / "c")


def test_nothing_that_is_there_is_overwritten(make_school, tmp_path):
    school = make_school(4)
    export_set(*school.all, tmp_path / "a", balance="none")
    before = hash_tree(tmp_path / "a")
    with pytest.raises(
        StorageError, match="holds something else; choose another folder, or move that one away; nothing was changed"
    ):
        export_set(*school.all, tmp_path / "a", balance="undersample")
    assert hash_tree(tmp_path / "a") == before
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "mine.txt").write_text("mine")
    with pytest.raises(StorageError, match="is there already and is no export"):
        export_set(*school.all, tmp_path / "notes")
    with pytest.raises(StorageError, match="is there already and is no export"):
        export_set(*school.all, tmp_path / "notes" / "mine.txt")
    assert (tmp_path / "notes" / "mine.txt").read_text() == "mine"
    assert len(school.catalogue.list_records("exports")) == 1
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a", "notes", "school"]


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"formats": ("sequences", "yolo")}, "unknown export format 'yolo'; known: coco, sequences"),
        ({"balance": "smote"}, "unknown balance method 'smote'"),
        ({"axis": "mood"}, "unknown axis 'mood'"),
    ],
)
def test_unknown_names_change_nothing(make_school, tmp_path, options, match):
    school = make_school(4)
    digest = school.catalogue.digest()
    with pytest.raises(UnknownName, match=match):
        export_set(*school.all, tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()
    assert school.catalogue.digest() == digest


def test_a_changed_file_and_a_forged_certificate_are_noticed(make_school, tmp_path):
    school = make_school(4)
    export_set(*school.all, tmp_path / "a", balance="none")
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    with (tmp_path / "b" / "train.npz").open("ab") as stream:
        stream.write(b"x")
    with pytest.raises(FormatError, match=r"train\.npz: SHA-256: expected .* \(manifest\), got another"):
        read_export(tmp_path / "b")
    (tmp_path / "b" / "train.npz").unlink()
    with pytest.raises(FormatError, match="a file of the export, got no such file"):
        read_export(tmp_path / "b")
    manifest = read_manifest(tmp_path / "a" / "manifest.json")
    moved = manifest.splits["test"][0]
    splits = {**manifest.splits, "train": (*manifest.splits["train"], moved)}
    write_manifest(tmp_path / "a" / "manifest.json", manifest.model_copy(update={"splits": splits}))
    with pytest.raises(LeakError, match=f"lesson '{moved.lesson}' is on more than one side: test, train"):
        read_export(tmp_path / "a")


def test_a_killed_run_leaves_nothing_that_matters(make_school, tmp_path):
    """Kill -9 while the folder is being built: the next run cleans up and gives the bytes of an uninterrupted one."""
    school = make_school(4)
    export_set(*school.all, tmp_path / "whole", name="x")
    script = (
        "import sys, time\nfrom pathlib import Path\nfrom curation.building import build_folder\n"
        "with build_folder(Path(sys.argv[1])) as folder:\n"
        "    (folder / 'train.npz').write_bytes(b'half')\n    print('ready', flush=True)\n    time.sleep(60)\n"
    )
    child = subprocess.Popen([sys.executable, "-c", script, str(tmp_path / "out")], stdout=subprocess.PIPE, text=True)
    assert child.stdout.readline() == "ready\n"
    (living,) = tmp_path.glob(".out.*")
    export_set(*school.all, tmp_path / "out", name="x")
    assert living.exists(), "a run that is still alive keeps its folder"
    shutil.rmtree(tmp_path / "out")
    os.kill(child.pid, signal.SIGKILL)
    child.wait()
    assert (living / "train.npz").read_bytes() == b"half"
    assert not (tmp_path / "out").exists()
    export_set(*school.all, tmp_path / "out", name="x")
    assert not list(tmp_path.glob(".out.*"))
    assert hash_tree(tmp_path / "out") == hash_tree(tmp_path / "whole")


def test_an_error_in_the_middle_leaves_nothing(tmp_path):
    def fail():
        with build_folder(tmp_path / "out") as folder:
            (folder / "a").write_text("a")
            raise OSError(28, "No space left on device")

    with pytest.raises(StorageError, match="out: No space left on device; nothing was changed"):
        fail()
    assert list(tmp_path.iterdir()) == []


def test_the_manifest_is_plain_sorted_json(make_school, tmp_path):
    school = make_school(4)
    export_set(*school.all, tmp_path / "a")
    raw = json.loads((tmp_path / "a" / "manifest.json").read_text())
    assert list(raw) == sorted(raw)
    assert raw["schema_version"] == 1
    assert raw["certificate"]["sides"]["test"]["n_unknown"] == 0


def test_a_full_disk_is_one_clear_line_and_leaves_nothing(make_school, tmp_path):
    school = make_school(4)
    make_split(school.workspace, school.catalogue)
    small = tmp_path / "small"
    small.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=48k", "tmpfs", small], capture_output=True, check=False).returncode:
        pytest.skip("mounting a small tmpfs needs root")
    try:
        with pytest.raises(StorageError, match="small/set: No space left on device; nothing was changed"):
            export_set(*school.all, small / "set")
        assert list(small.iterdir()) == []
        assert school.catalogue.list_records("exports") == []
    finally:
        subprocess.run(["umount", small], check=True)
    export_set(*school.all, small / "set")


@pytest.fixture
def filmed(tmp_path):
    """A workspace of two real videos with three people each, all labelled; one lesson is for test."""
    workspace = create_workspace(tmp_path / "filmed", Config())
    catalogue, arrays = fill_workspace(workspace, clips=2)
    with catalogue:
        spans = [
            HumanSpan(tubelet_id=t.id, axis="behaviour", value=("write", "attend")[k % 2], annotator="ann")
            for k, t in enumerate(catalogue.list_tubelets())
        ]
        catalogue.add_annotations(spans)
        make_split(workspace, catalogue, test_lessons=["lesson-1"])
        yield workspace, catalogue, arrays


def test_the_pictures_that_coco_names_are_the_clips_key_frames(filmed, tmp_path):
    workspace, catalogue, arrays = filmed
    options = {"formats": ("coco", "sequences"), "balance": "none", "pictures": True}
    manifest = export_set(workspace, catalogue, arrays, tmp_path / "set", **options)
    clips = {clip.id: clip for clip in catalogue.list_clips()}
    named = []
    for side in ("train", "test"):
        content = json.loads((tmp_path / "set" / f"{side}.coco.json").read_text("utf-8"))
        for row in content["images"]:
            named.append(row["file_name"])
            picture = load_image(tmp_path / "set" / row["file_name"])
            clip = clips[row["clip_id"]]
            frame = read_frame(clip.uri, row["frame"], timestamps=clip.timestamps)
            assert picture.shape == (row["height"], row["width"], 3)
            assert np.abs(picture.astype(int) - frame).mean() < 1.5
            other = read_frame(clip.uri, (row["frame"] + 7) % clip.n_frames, timestamps=clip.timestamps)
            assert np.abs(picture.astype(int) - other).mean() > 3
    assert len(set(named)) == 4
    assert set(named) <= set(manifest.files)
    again = export_set(workspace, catalogue, arrays, tmp_path / "again", name="set", **options)
    assert again.files == manifest.files


def test_pictures_need_the_videos_that_were_added(filmed, tmp_path):
    workspace, catalogue, arrays = filmed
    source = workspace.root / "clip0.mp4"
    with source.open("ab") as stream:
        stream.write(b"more")
    with pytest.raises(MediaError, match=r"clip0\.mp4: has changed since it was added"):
        export_set(workspace, catalogue, arrays, tmp_path / "set", formats=("coco",), pictures=True)
    source.unlink()
    with pytest.raises(MediaError, match=r"clip0\.mp4: no such file"):
        export_set(workspace, catalogue, arrays, tmp_path / "set", formats=("coco",), pictures=True)
    assert not (tmp_path / "set").exists()
    assert not [path for path in tmp_path.iterdir() if path.name != "filmed"]
    export_set(workspace, catalogue, arrays, tmp_path / "set", formats=("coco",))


def test_crops_lie_beside_the_poses_and_show_what_the_boxes_say(filmed, tmp_path):
    workspace, catalogue, arrays = filmed
    export_set(workspace, catalogue, arrays, tmp_path / "set", balance="none", crops=24)
    sequences = read_sequences(tmp_path / "set" / "train.npz")
    assert sequences.crops.shape == (len(sequences), sequences.pose.shape[1], 24, 24, 3)
    tubelets = {t.id: t for t in catalogue.list_tubelets()}
    for row, tubelet_id in enumerate(sequences.id.tolist()):
        tubelet = tubelets[tubelet_id]
        clip = catalogue.get_clip(tubelet.clip_id)
        track = next(t for t in arrays.read_tracks(clip.id) if t.id == tubelet.track_id)
        inside = (track.frames >= tubelet.first) & (track.frames <= tubelet.last)
        region = find_region(track.boxes_xyxy[inside])
        assert region[2] - region[0] == pytest.approx(region[3] - region[1])
        for place, frame in ((0, tubelet.first), (-1, tubelet.last)):
            wanted = cut_region(read_frame(clip.uri, frame, timestamps=clip.timestamps), region, 24)
            np.testing.assert_array_equal(sequences.crops[row, place], wanted)
    again = export_set(workspace, catalogue, arrays, tmp_path / "again", name="set", balance="none", crops=24)
    assert again.files == read_export(tmp_path / "set").files
    plain = export_set(workspace, catalogue, arrays, tmp_path / "plain", balance="none")
    assert read_sequences(tmp_path / "plain" / "train.npz").crops is None
    assert plain.files != again.files
    with pytest.raises(InvalidField, match="crops: expected a side from 8 to 512 px, got 4"):
        export_set(workspace, catalogue, arrays, tmp_path / "bad", crops=4)
    assert not (tmp_path / "bad").exists()


def test_a_region_over_the_edge_repeats_the_edge():
    frame = np.zeros((40, 60, 3), np.uint8)
    frame[:, :30] = 200
    cut = cut_region(frame, (-20.0, 10.0, 20.0, 50.0), 40)
    np.testing.assert_array_equal(cut, 200)
    assert cut_region(frame, (-50.0, -50.0, -10.0, -10.0), 8).shape == (8, 8, 3)
    with pytest.raises(InvalidField, match="boxes_xyxy: expected a box"):
        find_region(np.full((3, 4), np.nan))
