"""Tasks without a workspace: a real photo as every kind of image, a video by windows, addresses of pictures."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from fixtures_media import run_curate
from PIL import Image

from curation.media import probe_media, read_frame
from curation.proposals import load_proposer
from curation.propose import propose_tasks, write_tasks
from curation.render.truth import read_truth, truth_path
from schemas.errors import InvalidField, MediaError
from schemas.labelstudio import decode_result
from schemas.vocabulary import load_taxonomy


@pytest.fixture(scope="module")
def astronaut():
    from skimage import data

    return data.astronaut()


def _people(task):
    return decode_result(task["predictions"][0]["result"])


def _save_kind(path, rgb, kind):
    """Save a photo as another kind of image and return its path."""
    grey = np.asarray(Image.fromarray(rgb).convert("L"))
    if kind == "alpha":
        Image.fromarray(np.dstack([rgb, np.full(rgb.shape[:2], 255, np.uint8)])).save(path)
    elif kind == "grey":
        Image.fromarray(grey).save(path)
    elif kind == "grey, 16 bit":
        Image.fromarray(grey.astype(np.uint16) * 257).save(path)
    elif kind == "palette":
        Image.fromarray(rgb).convert("P", palette=Image.Palette.ADAPTIVE).save(path)
    else:
        Image.fromarray(rgb).save(path)
    return path


@pytest.mark.parametrize("kind", ["colour", "alpha", "grey", "grey, 16 bit", "palette"])
def test_exactly_one_person_is_found_in_a_real_photo(tmp_path, astronaut, small_model, kind):
    path = _save_kind(tmp_path / "astronaut.png", astronaut, kind)
    result = propose_tasks([path], pictures=tmp_path / "pictures", proposer=load_proposer(small_model))
    assert (len(result.tasks), result.people, result.regions, result.proposals) == (1, 1, 1, 1)
    (person,) = _people(result.tasks[0])
    x1, y1, x2, y2 = person.box_xyxy
    assert 0 <= x1 < 224 < x2 <= 512
    assert 0 <= y1 < 110 < y2 <= 512
    nose = person.pose_px[0, :2]
    np.testing.assert_allclose(nose, (222, 110), atol=25)
    (label,) = person.labels
    assert label.axis == "behaviour"
    assert label.value in load_taxonomy("learning-behaviours").primary.values
    assert 0 < person.scores["behaviour"] <= 1
    assert not (tmp_path / "pictures").exists()


def test_nobody_is_found_where_nobody_is(tmp_path, small_model):
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (240, 320, 3), np.uint8)).save(tmp_path / "noise.png")
    (task,) = propose_tasks([tmp_path / "noise.png"], pictures=tmp_path, proposer=load_proposer(small_model)).tasks
    assert task["predictions"] == [{"model_version": "people", "result": []}]


@pytest.fixture(scope="module")
def lesson(tmp_path_factory, tiny_lessons, small_model):
    """What is proposed for one rendered lesson, through the command line; the folder is the local-files root."""
    folder = tmp_path_factory.mktemp("root")
    (folder / "a b").mkdir()
    video = shutil.copy(tiny_lessons[0], folder / "a b" / "lesson.mp4")
    out = folder / "out" / "tasks.json"
    result = run_curate("propose", video, "--out", out, "--image-root", folder, "--model", small_model)
    assert result.returncode == 0, result.stderr
    return folder, video, out, result.stdout


def test_a_video_is_one_task_per_window(lesson, small_model):
    _, _, out, stdout = lesson
    tasks = json.loads(out.read_text())
    assert [(task["data"]["frame"], task["data"]["seconds"], task["data"]["source"]) for task in tasks] == [
        (12, 1.0, "lesson.mp4"),
        (36, 3.0, "lesson.mp4"),
    ]
    assert len({task["data"]["key"] for task in tasks}) == 2
    assert {task["predictions"][0]["model_version"] for task in tasks} == {f"logreg:{load_proposer(small_model).version}"}
    assert stdout == f"2 tasks, 2 people, 4 proposals written to {out}\n"


def test_pictures_are_the_key_frames_addressed_below_the_root(lesson):
    folder, video, out, _ = lesson
    for task in json.loads(out.read_text()):
        head, _, place = task["data"]["image"].partition("?d=")
        assert head == "/data/local-files/"
        picture = read_frame(folder / place, 0).astype(int)
        assert np.abs(picture - read_frame(video, task["data"]["frame"])).mean() < 3


def test_regions_lie_on_the_people_of_the_key_frame(lesson, tiny_lessons):
    truth = read_truth(truth_path(tiny_lessons[0]))
    for task in json.loads(lesson[2].read_text()):
        people = sorted(_people(task), key=lambda person: person.box_xyxy[0])
        boxes = sorted(truth.boxes[task["data"]["frame"]].tolist())
        assert len(people) == len(boxes)
        for person, (x1, y1, x2, y2) in zip(people, boxes, strict=True):
            a1, b1, a2, b2 = person.box_xyxy
            assert x1 < (a1 + a2) / 2 < x2
            assert y1 < (b1 + b2) / 2 < y2
            assert a1 >= 0
            assert b1 >= 0
            assert a2 <= 640.01
            assert b2 <= 360.01


def test_the_same_input_gives_the_same_bytes(lesson, small_model, tmp_path):
    folder, video, out, _ = lesson
    again = propose_tasks(
        [video], pictures=folder / "out" / "tasks-pictures", image_root=folder, proposer=load_proposer(small_model)
    )
    write_tasks(tmp_path / "again.json", again.tasks)
    assert (tmp_path / "again.json").read_bytes() == out.read_bytes()


def test_other_settings_give_other_windows(tiny_lessons, tmp_path, small_model):
    words = ("--window", "4", "--fps", "3", "--model", small_model, "--json")
    result = run_curate("propose", tiny_lessons[0], "--out", tmp_path / "t.json", *words)
    assert json.loads(result.stdout)["tasks"] == 1
    assert [task["data"]["frame"] for task in json.loads((tmp_path / "t.json").read_text())] == [24]


def test_an_image_that_browsers_do_not_show_becomes_a_jpeg(tmp_path, astronaut, small_model):
    Image.fromarray(astronaut).save(tmp_path / "a.tif")
    (task,) = propose_tasks([tmp_path / "a.tif"], pictures=tmp_path / "p", proposer=load_proposer(small_model)).tasks
    (picture,) = (tmp_path / "p").iterdir()
    assert task["data"]["image"] == str(picture)
    assert probe_media(picture).width == 512


def test_a_vocabulary_can_be_chosen(tmp_path, astronaut, small_model):
    Image.fromarray(astronaut).save(tmp_path / "a.png")
    chosen = load_taxonomy("edunet-3")
    (task,) = propose_tasks([tmp_path / "a.png"], pictures=tmp_path, taxonomy=chosen, proposer=load_proposer(small_model)).tasks
    (label,) = _people(task)[0].labels
    assert label.value in chosen.axis("action").values


def test_nothing_is_written_if_one_file_is_bad(tmp_path, tiny_lessons, bad_media, small_model):
    with pytest.raises(MediaError, match="is empty"):
        propose_tasks([tiny_lessons[0], bad_media["zero"]], pictures=tmp_path / "p", proposer=load_proposer(small_model))
    with pytest.raises(InvalidField, match="image_root: expected a folder above"):
        propose_tasks(
            [tiny_lessons[0]], pictures=tmp_path / "p", image_root=tmp_path / "elsewhere", proposer=load_proposer(small_model)
        )
    assert list(tmp_path.iterdir()) == []
