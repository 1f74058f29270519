import json

import numpy as np
import pytest
from attrs import evolve

from curation.formats import EXPORTERS
from curation.formats.base import ExportFacts, ExportItem, sort_samples
from curation.formats.coco import to_coco_keypoints
from schemas.errors import FormatError, InvalidField, StorageError
from schemas.manifest import ManifestRecord
from schemas.records import Clip, HumanSpan, PredictedSpan
from schemas.vocabulary import BLAZEPOSE_33, load_taxonomy

FACTS = ExportFacts(taxonomy=load_taxonomy("learning-behaviours"), axis="behaviour", fps=6.0)


def make_record(number, value, group="l1"):
    return ManifestRecord(
        tubelet_id=f"tub_{number:02}", clip_id="clip_a", track_id=f"trk_{number}", first=0, last=11, label=value,
        annotator="ann", lesson=group, student=None, group=group,
    )  # fmt: skip


def make_item(number, rng, *, value=None, frame=None):
    value = value or str(rng.choice(FACTS.classes))
    x1, y1 = rng.uniform(0, 500, 2)
    pose = rng.uniform(0, 700, (33, 4)).astype(np.float32)
    pose[:, 3] = rng.uniform(0, 1, 33)
    pose[rng.random(33) < 0.3] = np.nan
    sequence = rng.uniform(0, 700, (12, 33, 4)).astype(np.float32)
    sequence[rng.random((12, 33)) < 0.3] = np.nan
    clip = f"clip_{'ab'[number % 2]}"
    return ExportItem(
        record=make_record(number, value, group=f"lesson {number % 3}"),
        span=HumanSpan(tubelet_id=f"tub_{number:02}", axis="behaviour", value=value, annotator="ann"),
        clip=Clip(
            id=clip, uri="a.mp4", sha256="0", n_frames=12, fps=5.5, width=1280, height=720, lesson="l",
            timestamps=np.arange(12) / 5.5,
        ),
        key_frame=int(rng.integers(3)) if frame is None else frame,
        box_xyxy=(float(x1), float(y1), float(x1 + rng.uniform(1, 90)), float(y1 + rng.uniform(1, 90))),
        pose_px=pose,
        sequence=sequence,
    )  # fmt: skip


def make_items(seed, n=25):
    rng = np.random.default_rng(seed)
    return [make_item(number, rng) for number in range(n)]


@pytest.mark.parametrize("name", list(EXPORTERS))
@pytest.mark.parametrize("seed", [0, 1])
def test_what_is_written_is_read_back_value_by_value(tmp_path, name, seed):
    exporter, items = EXPORTERS.load(name)(), make_items(seed)
    files = exporter.write(tmp_path, "train", items, FACTS)
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(files)
    found, expected = exporter.read(tmp_path, "train"), exporter.reduce(items, FACTS)
    assert len(found) == len(items)
    assert [s.tubelet_id for s in found] == sorted(item.record.tubelet_id for item in items)
    assert [s.label for s in found] == [item.record.label for item in items]
    assert found == expected
    changed = exporter.reduce([*items[:-1], make_item(24, np.random.default_rng(99))], FACTS)
    assert found != changed


def test_sequences_keep_crops_and_files_without_them_stay_as_they_were(tmp_path):
    exporter, items = EXPORTERS.load("sequences")(), make_items(4, 6)
    exporter.write(tmp_path, "train", items, FACTS)
    assert all("crops" not in sample.arrays for sample in exporter.read(tmp_path, "train"))
    rng = np.random.default_rng(0)
    pictured = [evolve(item, crops=rng.integers(0, 256, (12, 9, 9, 3)).astype(np.uint8)) for item in items]
    exporter.write(tmp_path, "test", pictured, FACTS)
    assert exporter.read(tmp_path, "test") == exporter.reduce(pictured, FACTS)
    assert exporter.read(tmp_path, "test") != exporter.reduce(items, FACTS)
    with pytest.raises(InvalidField, match="export: crops"):
        evolve(items[0], crops=np.zeros((3, 9, 9, 3), np.uint8))


@pytest.mark.parametrize("name", list(EXPORTERS))
def test_a_repeated_item_counts_as_often_as_it_was_given(tmp_path, name):
    exporter, items = EXPORTERS.load(name)(), make_items(3, 5)
    items += [items[2], items[2], items[4]]
    exporter.write(tmp_path, "train", items, FACTS)
    assert exporter.read(tmp_path, "train") == exporter.reduce(items, FACTS)
    assert len(exporter.read(tmp_path, "train")) == 8


@pytest.mark.parametrize("name", list(EXPORTERS))
def test_equal_items_give_equal_bytes(tmp_path, name):
    exporter = EXPORTERS.load(name)()
    for folder in ("a", "b"):
        exporter.write(tmp_path / folder, "test", make_items(5), FACTS)
    for path in sorted((tmp_path / "a").iterdir()):
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes()


@pytest.mark.parametrize("name", list(EXPORTERS))
def test_a_missing_or_damaged_file_is_named(tmp_path, name):
    exporter = EXPORTERS.load(name)()
    with pytest.raises(FormatError, match=r"train\.(npz|coco\.json)"):
        exporter.read(tmp_path, "train")
    (path,) = exporter.write(tmp_path, "train", make_items(0, 4), FACTS)
    data = (tmp_path / path).read_bytes()
    (tmp_path / path).write_bytes(data[: len(data) // 2])
    with pytest.raises(FormatError, match=r"train\.(npz|coco\.json)"):
        exporter.read(tmp_path, "train")


@pytest.mark.parametrize("name", list(EXPORTERS))
def test_a_folder_that_cannot_be_written_is_a_storage_error(tmp_path, name):
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError):
        EXPORTERS.load(name)().write(tmp_path / "file", "train", make_items(0, 2), FACTS)


def test_a_proposal_is_never_an_item():
    item = make_items(0, 1)[0]
    proposal = PredictedSpan(tubelet_id="tub_00", axis="behaviour", value="write", model="m", version="1", scores={"write": 1.0})
    with pytest.raises(InvalidField, match=r"a HumanSpan \(only what a person said is exported\), got PredictedSpan"):
        ExportItem(
            record=make_record(0, "write"), span=proposal, clip=item.clip, key_frame=0, box_xyxy=item.box_xyxy,
            pose_px=item.pose_px, sequence=item.sequence,
        )  # fmt: skip
    with pytest.raises(InvalidField, match="export: record"):
        ExportItem(
            record=make_record(1, "write"), span=item.span, clip=item.clip, key_frame=0, box_xyxy=item.box_xyxy,
            pose_px=item.pose_px, sequence=item.sequence,
        )  # fmt: skip


def test_coco_shows_every_key_frame_once_and_sequences_none():
    items = make_items(0)
    shown = EXPORTERS.load("coco")().list_pictures([*items, *items])
    assert {(item.clip.id, item.key_frame) for item in shown.values()} == {(item.clip.id, item.key_frame) for item in items}
    assert len(shown) == len({(item.clip.id, item.key_frame) for item in items})
    assert all(name == f"images/{item.clip.id}_{item.key_frame:06d}.jpg" for name, item in shown.items())
    assert EXPORTERS.load("sequences")().list_pictures(items) == {}


def read_coco(tmp_path, items):
    EXPORTERS.load("coco")().write(tmp_path, "val", items, FACTS)
    return json.loads((tmp_path / "val.coco.json").read_text("utf-8"))


def test_coco_says_what_the_format_asks_for(tmp_path):
    rng = np.random.default_rng(0)
    items = [
        make_item(0, rng, value="write", frame=2),
        make_item(2, rng, value="attend", frame=2),
        make_item(1, rng, value="write", frame=0),
    ]
    content = read_coco(tmp_path, items)
    assert [c["name"] for c in content["categories"]] == list(FACTS.classes)
    assert [c["id"] for c in content["categories"]] == list(range(1, 9))
    category = content["categories"][0]
    assert category["keypoints"] == list(BLAZEPOSE_33.nodes)
    assert len(category["keypoints"]) == 33
    assert category["skeleton"] == [[a + 1, b + 1] for a, b in BLAZEPOSE_33.edges]
    assert category["supercategory"] == "behaviour"
    assert [(i["clip_id"], i["frame"], i["file_name"]) for i in content["images"]] == [
        ("clip_a", 2, "images/clip_a_000002.jpg"),
        ("clip_b", 0, "images/clip_b_000000.jpg"),
    ]
    assert content["images"][0]["seconds"] == pytest.approx(2 / 5.5)
    assert (content["images"][0]["width"], content["images"][0]["height"]) == (1280, 720)
    assert [a["image_id"] for a in content["annotations"]] == [1, 1, 2]
    assert [a["category_id"] for a in content["annotations"]] == [2, 1, 2]
    first = content["annotations"][0]
    x1, y1, x2, y2 = items[0].box_xyxy
    assert first["bbox"] == pytest.approx([x1, y1, x2 - x1, y2 - y1])
    assert first["area"] == pytest.approx((x2 - x1) * (y2 - y1))
    assert first["iscrowd"] == 0
    assert len(first["keypoints"]) == 99
    assert first["num_keypoints"] == int(np.isfinite(items[0].pose_px[:, 0]).sum())


def test_coco_flags_are_unseen_hidden_and_visible():
    pose = np.array(
        [[np.nan, np.nan, np.nan, np.nan], [5, 6, 0, 0.49], [7, 8, 0, 0.5], [9, 1, 0, np.nan], [3, np.nan, 0, 1]], np.float32
    )
    assert to_coco_keypoints(pose).tolist() == [[0, 0, 0], [5, 6, 1], [7, 8, 2], [9, 1, 2], [0, 0, 0]]


def test_samples_are_sorted_by_tubelet(tmp_path):
    exporter, items = EXPORTERS.load("sequences")(), make_items(1, 6)[::-1]
    exporter.write(tmp_path, "train", items, FACTS)
    found = exporter.read(tmp_path, "train")
    assert found == sort_samples(found[::-1])
