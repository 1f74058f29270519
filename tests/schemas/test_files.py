"""Files appear whole or not at all, and say what is wrong with them."""

import json
import pickle
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from attrs import evolve

from schemas.errors import FormatError, InvalidField, StorageError
from schemas.files import replace_file, write_text
from schemas.manifest import Manifest, ManifestRecord, Provenance, read_manifest, write_manifest
from schemas.sequences import SequenceSet, read_sequences, write_sequences


def make_sequences(n: int = 4) -> SequenceSet:
    pose = np.random.default_rng(0).normal(size=(n, 6, 5, 3)).astype(np.float32)
    pose[0, 0, 0] = np.nan
    names = [f"c{i % 2}" for i in range(n)]
    return SequenceSet(
        pose=pose,
        label=names,
        group=[f"g{i}" for i in range(n)],
        id=np.array([f"i{i}" for i in range(n)]),
        skeleton=np.array([[0, 1]]),
        fps=6.0,
    )


def test_sequences_keep_their_crops(tmp_path: Path) -> None:
    crops = np.random.default_rng(1).integers(0, 256, (4, 3, 8, 9, 3)).astype(np.uint8)
    made = evolve(make_sequences(), crops=crops)
    write_sequences(tmp_path / "a.npz", made)
    read = read_sequences(tmp_path / "a.npz")
    np.testing.assert_array_equal(read.crops, crops)
    np.testing.assert_array_equal(read.take(np.array([2, 0])).crops, crops[[2, 0]])
    assert read.with_labels(np.array(["x"] * 4)).crops is not None
    with pytest.raises(InvalidField, match=r"crops: expected an array of shape \(4, any, any, any, 3\)"):
        evolve(made, crops=crops[:3])
    with pytest.raises(InvalidField, match="crops: expected uint8"):
        evolve(made, crops=crops.astype(np.int64))


def test_sequences_round_trip_by_value_and_by_byte(tmp_path: Path) -> None:
    made = make_sequences()
    write_sequences(tmp_path / "a.npz", made)
    write_sequences(tmp_path / "b.npz", made)
    read = read_sequences(tmp_path / "a.npz")
    np.testing.assert_array_equal(read.pose, made.pose)
    assert read.id is not None
    assert made.id is not None
    for name in ("label", "group", "id"):
        assert getattr(read, name).tolist() == getattr(made, name).tolist()
    assert read.fps == 6.0
    assert np.asarray(read.skeleton).tolist() == [[0, 1]]
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()


def test_take_and_classes() -> None:
    part = make_sequences().take(np.array([3, 1]))
    assert part.group.tolist() == ["g3", "g1"]
    assert part.classes == ("c1",)
    assert len(part) == 2


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"pose": np.zeros((2, 3, 4, 2))}, "label: expected an array of that name, got pose"),
        ({"pose": np.zeros((2, 3, 4)), "label": ["a", "b"], "group": ["a", "b"]}, r"pose: expected an array of shape"),
        ({"pose": np.zeros((2, 3, 4, 5)), "label": ["a", "b"], "group": ["a", "b"]}, "2, 3 or 4 channels"),
        ({"pose": np.zeros((2, 3, 4, 2)), "label": ["a"], "group": ["a", "b"]}, r"label: expected an array of shape \(2\)"),
        ({"pose": np.zeros((0, 3, 4, 2)), "label": np.zeros(0, "U1"), "group": np.zeros(0, "U1")}, "at least one sequence"),
        ({"pose": np.full((1, 3, 4, 2), np.inf), "label": ["a"], "group": ["a"]}, "finite values, or NaN"),
        ({"pose": np.zeros((1, 3, 4, 2)), "label": ["a"], "group": ["a"], "skeleton": np.array([[0, 4]])}, "indices below 4"),
        ({"pose": np.zeros((1, 3, 4, 2)), "label": [0.5], "group": ["a"]}, "label: expected strings"),
    ],
)
def test_bad_sequence_files_say_where(tmp_path: Path, arrays: dict[str, Any], message: str) -> None:
    np.savez(tmp_path / "s.npz", **arrays)
    with pytest.raises(FormatError, match=message):
        read_sequences(tmp_path / "s.npz")


def test_sequences_are_never_unpickled(tmp_path: Path) -> None:
    np.savez(tmp_path / "s.npz", pose=np.array([{}], dtype=object), label=["a"], group=["a"])
    (tmp_path / "p.npz").write_bytes(pickle.dumps({"pose": 1}))
    (tmp_path / "t.npz").write_text("hello")
    for name in ("s.npz", "p.npz", "t.npz", "missing.npz"):
        with pytest.raises(FormatError):
            read_sequences(tmp_path / name)


def _fail_half_way(path: Path) -> None:
    with replace_file(path) as stream:
        stream.write(b"half")
        raise ZeroDivisionError("division by zero")


def test_replace_file_leaves_the_old_on_error(tmp_path: Path) -> None:
    path = tmp_path / "f.txt"
    write_text(path, "old")
    with pytest.raises(ZeroDivisionError, match="by zero"):
        _fail_half_way(path)
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["f.txt"]


def test_what_a_killed_process_left_is_overwritten(tmp_path: Path) -> None:
    code = f"""
import os, signal
from schemas.files import replace_file
with replace_file({str(tmp_path / "f.txt")!r}) as stream:
    stream.write(b"a long half of something")
    stream.flush()
    os.kill(os.getpid(), signal.SIGKILL)
"""
    assert subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[2], check=False).returncode == -signal.SIGKILL
    assert [p.name for p in tmp_path.iterdir()] == [".f.txt.tmp"]
    write_text(tmp_path / "f.txt", "whole")
    assert [(p.name, p.read_text()) for p in tmp_path.iterdir()] == [("f.txt", "whole")]


def test_of_many_that_write_the_same_file_each_writes_it_whole(tmp_path: Path) -> None:
    path = tmp_path / "f.txt"
    texts = [str(number) * 200_000 for number in range(8)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda text: [write_text(path, text) for _ in range(5)], texts))
    assert path.read_text() in texts
    assert [p.name for p in tmp_path.iterdir()] == ["f.txt"]
    assert path.stat().st_mode & 0o777 == 0o644


def test_a_link_in_the_way_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "other.txt").write_text("mine")
    (tmp_path / ".f.txt.tmp").symlink_to(tmp_path / "other.txt")
    with pytest.raises(StorageError, match=r"f\.txt"):
        write_text(tmp_path / "f.txt", "x")
    assert (tmp_path / "other.txt").read_text() == "mine"


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(StorageError, match="nothing was changed"):
        write_text(tmp_path / "file" / "inside.txt", "x")


def make_manifest() -> Manifest:
    record = ManifestRecord(
        tubelet_id="tub",
        clip_id="c",
        track_id="t",
        first=0,
        last=9,
        label="write",
        annotator="a",
        lesson="L",
        student=None,
        group="g",
    )
    return Manifest(
        name="n", taxonomy="learning-behaviours", taxonomy_version=1, axis="behaviour", classes=("write", "sleep"), balance="none",
        splits={"train": (record,)}, certificate={"ok": True}, files={"train.npz": "00"},
        provenance=Provenance(seed=0, config_hash="h", code_version="v", parents=("p",)),
    )  # fmt: skip


def test_manifest_round_trip(tmp_path: Path) -> None:
    write_manifest(tmp_path / "m.json", make_manifest())
    assert read_manifest(tmp_path / "m.json") == make_manifest()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"schema_version": 99}, "schema_version: expected a number from 1 to 1, got 99"),
        ({"schema_version": "1"}, "schema_version: expected"),
        ({"splits": {"train": [{"first": -1}]}}, r"splits\.train\.0"),
        ({"surprise": 1}, "surprise: expected a valid value, got Extra inputs"),
    ],
)
def test_bad_manifests_say_where(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    write_manifest(tmp_path / "m.json", make_manifest())
    raw = json.loads((tmp_path / "m.json").read_text()) | change
    (tmp_path / "m.json").write_text(json.dumps(raw))
    with pytest.raises(FormatError, match=message):
        read_manifest(tmp_path / "m.json")


def test_with_labels_keeps_the_rest() -> None:
    made = make_sequences()
    other = made.with_labels(np.array(["x"] * 4))
    assert other.classes == ("x",)
    assert other.group.tolist() == made.group.tolist()
    with pytest.raises(InvalidField, match="label"):
        made.with_labels(np.array(["x"]))
