"""Label Studio's JSON ⇄ people in a picture."""

import json
from xml.etree import ElementTree as ET

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.errors import FormatError, InvalidField
from schemas.labelconfig import BOX, SKELETON, build_label_config, build_video_config, plan_hotkeys
from schemas.labelstudio import (
    BODY_NODES,
    Person,
    decode_annotation,
    decode_result,
    encode_result,
    encode_task,
    format_model_version,
    parse_model_version,
    plan_parents,
)
from schemas.labeltracks import BoxTrack, decode_tracks, encode_track
from schemas.records import Clip, PoseTrack, PredictedSpan
from schemas.vocabulary import BLAZEPOSE_33, Axis, Behaviour, Label, Taxonomy, list_taxonomies, load_taxonomy

SIZE = (1280, 720)
px = st.floats(-200, 2000, width=32)


@st.composite
def poses(draw):
    pose = np.array(draw(st.lists(st.tuples(px, px, px, st.floats(0, 1, width=32)), min_size=33, max_size=33)), np.float32)
    hidden = draw(st.lists(st.booleans(), min_size=33, max_size=33))
    pose[np.array(hidden)] = np.nan
    return pose


@st.composite
def people(draw):
    out = []
    for number in range(draw(st.integers(0, 3))):
        x, y = draw(st.floats(0, 1000, width=32)), draw(st.floats(0, 600, width=32))
        w, h = draw(st.floats(1, 200, width=32)), draw(st.floats(1, 200, width=32))
        pose = draw(st.none() | poses())
        if pose is not None and np.isnan(pose).all():
            pose = None
        axes = draw(st.lists(st.sampled_from(["behaviour", "posture", "hands"]), unique=True))
        labels = tuple(Label(axis=axis, value=draw(st.sampled_from(["write", "page turning", "stehen"]))) for axis in axes)
        scores = {axis: draw(st.floats(0, 1)) for axis in axes}
        out.append(Person(id=f"tub_{number}", box_xyxy=(x, y, x + w, y + h), pose_px=pose, labels=labels, scores=scores))
    return out


def assert_same(got, want):
    assert [p.id for p in got] == [p.id for p in want]
    for a, b in zip(got, want, strict=True):
        np.testing.assert_allclose(a.box_xyxy, b.box_xyxy, rtol=0, atol=1e-9)
        assert (a.labels, a.scores) == (b.labels, b.scores)
        if b.pose_px is None:
            assert a.pose_px is None
        else:
            np.testing.assert_array_equal(a.pose_px, b.pose_px)


@settings(max_examples=60, deadline=None)
@given(people(), st.tuples(st.integers(1, 4096), st.integers(1, 4096)))
def test_people_survive_the_json_by_value(wanted, size):
    text = json.dumps(encode_result(wanted, size), allow_nan=False)
    assert_same(decode_result(json.loads(text)), wanted)


@settings(max_examples=20, deadline=None)
@given(people())
def test_a_task_holds_people_key_and_score(wanted):
    task = json.loads(json.dumps(encode_task("clip_1:0", "/data/x.jpg", SIZE, wanted, model_version="m:1", data={"lesson": "l"})))
    assert task["data"] == {"lesson": "l", "image": "/data/x.jpg", "key": "clip_1:0"}
    (prediction,) = task["predictions"]
    assert_same(decode_result(prediction["result"]), wanted)
    scores = [s for p in wanted for s in p.scores.values()]
    assert prediction.get("score") == (pytest.approx(np.mean(scores)) if scores else None)


def make_person(**changes):
    pose = np.zeros((33, 4), np.float32)
    pose[:, 0], pose[:, 1], pose[:, 2], pose[:, 3] = np.arange(33) * 10, 300, -5.5, np.linspace(0, 1, 33)
    return Person(**{"id": "tub_a", "box_xyxy": (10.0, 20.0, 110.0, 220.0), "pose_px": pose, **changes})


def test_boxes_skeletons_and_choices_are_what_label_studio_expects():
    person = make_person(labels=(Label(axis="behaviour", value="write"),), scores={"behaviour": 0.75})
    box, choice, bones = encode_result([person], SIZE)
    assert (box["type"], box["from_name"], box["to_name"], box["score"]) == ("rectanglelabels", "box", "image", 0.75)
    assert box["value"]["rectanglelabels"] == ["person"]
    assert (box["value"]["x"], box["value"]["width"]) == (10 / 1280 * 100, 100 / 1280 * 100)
    assert (choice["id"], choice["type"], choice["value"]["choices"]) == ("tub_a", "choices", ["write"])
    assert (bones["type"], bones["parentID"], bones["value"]["vectorlabels"]) == ("vectorlabels", "tub_a", ["skeleton"])
    ids = [v["id"] for v in bones["value"]["vertices"]]
    assert len(set(ids)) == 33
    assert all(v["prevPointId"] in {*ids, "none"} for v in bones["value"]["vertices"])


def test_hidden_and_unwanted_keypoints_are_not_shown():
    (box, bones) = encode_result([make_person()], SIZE, nodes=BODY_NODES, min_visibility=0.5)
    nodes = [int(v["id"].split(":")[0]) for v in bones["value"]["vertices"]]
    assert nodes == [n for n in BODY_NODES if n / 32 >= 0.5]
    (person,) = decode_result([box, bones])
    assert np.isnan(person.pose_px[0]).all()
    assert person.pose_px[28, 3] == np.float32(28 / 32)


def test_nothing_visible_makes_no_skeleton():
    assert len(encode_result([make_person(pose_px=np.full((33, 4), np.nan))], SIZE)) == 1


def test_limbs_run_through_nodes_that_are_not_shown():
    parents = plan_parents(BLAZEPOSE_33, BODY_NODES)
    assert set(parents) == set(BODY_NODES)
    assert parents[0] is None
    assert parents[11] is None
    assert parents[2] == 0
    assert parents[7] == 2
    assert (parents[13], parents[15]) == (11, 13)
    assert plan_parents(BLAZEPOSE_33, [11, 15])[15] == 11
    assert plan_parents(BLAZEPOSE_33, []) == {}


def make_annotation(result, **changes):
    return {
        "id": 17,
        "completed_by": 3,
        "updated_at": "2026-01-02T03:04:05Z",
        "was_cancelled": False,
        "parent_prediction": 5,
        "result": result,
        **changes,
    }


def test_annotations_are_read_with_who_when_and_from_what():
    person = make_person(labels=(Label(axis="behaviour", value="write"), Label(axis="hands", value="pen")))
    read = decode_annotation(make_annotation(encode_result([person], SIZE)))
    assert (read.id, read.annotator_id, read.updated_at) == (17, 3, "2026-01-02T03:04:05Z")
    assert (read.cancelled, read.parent_prediction, read.problems) == (False, 5, ())
    assert_same(read.people, [person])
    exported = make_annotation([], completed_by={"id": 4, "email": "a@b.c"}, was_cancelled=True, parent_prediction=None)
    other = decode_annotation(exported)
    assert (other.annotator_id, other.cancelled, other.parent_prediction, other.people) == (4, True, None, ())


def test_a_damaged_region_is_named_and_the_rest_is_kept():
    good, bad = make_person(id="tub_good"), make_person(id="tub_bad", pose_px=None)
    result = encode_result([good, bad], SIZE)
    result[-1]["value"]["width"] = "wide"
    read = decode_annotation(make_annotation(result))
    assert_same(read.people, [good])
    assert read.problems == ("annotation 17: result[2].value.width: expected int or float, got wide",)


@pytest.mark.parametrize(
    ("change", "where"),
    [
        (lambda r: r[0].pop("id"), r"result\[0\]\.id: expected str"),
        (lambda r: r[0].update(type="polygonlabels"), r"result\[0\]\.type: expected rectanglelabels"),
        (lambda r: r[0].pop("original_width"), r"result\[0\]\.original_width"),
        (lambda r: r[0].update(original_height=0), r"positive width and height"),
        (lambda r: r[0]["value"].update(x=None), r"result\[0\]\.value\.x"),
        (lambda r: r[0]["value"].update(x=float("nan")), r"finite number"),
        (lambda r: r[0]["value"].update(width=0), r"result\[0\]\.value\.width: expected a positive"),
        (lambda r: r[0]["value"].update(rotation=30), r"rotation: expected 0"),
        (lambda r: r[1]["value"].update(choices=[]), r"result\[1\]\.value\.choices: expected one value"),
        (lambda r: r[1]["value"].update(choices=["a", "b"]), r"expected one value"),
        (lambda r: r[2]["value"].update(vertices={}), r"result\[2\]\.value\.vertices"),
        (lambda r: r[2]["value"]["vertices"][4].update(id="x9"), r"vertices\[4\]\.id: expected node:visibility:z"),
        (lambda r: r[2]["value"]["vertices"][4].update(id="33:1:0"), r"a node below 33"),
        (lambda r: r[2]["value"]["vertices"][4].update(id="1:nan:0"), r"a node below 33"),
        (lambda r: r[2]["value"]["vertices"].__setitem__(0, 7), r"vertices\[0\]: expected an object"),
        (lambda r: r.append("x"), r"result\[3\]: expected an object"),
        (lambda r: r[0].update(value=[]), r"result\[0\]\.value: expected Mapping"),
    ],
)
def test_bad_json_says_where(change, where):
    result = encode_result([make_person(labels=(Label(axis="behaviour", value="write"),))], SIZE)
    change(result)
    with pytest.raises(FormatError, match=where):
        decode_result(result, where="tasks.json")


def test_what_is_no_annotation_is_refused():
    with pytest.raises(FormatError, match="annotation: JSON: expected an object"):
        decode_annotation([])
    with pytest.raises(FormatError, match="id: expected int"):
        decode_annotation({"result": []})
    with pytest.raises(FormatError, match=r"result: expected list"):
        decode_annotation({"id": 1, "result": None})
    with pytest.raises(FormatError, match="result: expected a list"):
        decode_result({})
    with pytest.raises(InvalidField, match="positive width"):
        encode_result([], (0, 10))
    with pytest.raises(InvalidField, match="one label per axis"):
        make_person(labels=(Label(axis="a", value="b"), Label(axis="a", value="c")))
    with pytest.raises(InvalidField, match="box_xyxy"):
        encode_result([make_person(box_xyxy=None)], SIZE)


def make_span(axis="behaviour", value="write", model="cnn-lstm", version="abc"):
    other = "other" if value != "other" else "x"
    return PredictedSpan(tubelet_id="tub_a", axis=axis, value=value, model=model, version=version, scores={value: 0.9, other: 0.1})


def test_proposals_become_labels_with_scores():
    person = Person.of("tub_a", np.float32([1, 2, 3, 4]), None, [make_span(), make_span(axis="hands", value="pen")])
    assert person.labels == (Label(axis="behaviour", value="write"), Label(axis="hands", value="pen"))
    assert person.scores == {"behaviour": 0.9, "hands": 0.9}


def test_model_versions_are_one_line_and_can_be_read():
    spans = [make_span(), make_span(axis="hands", model="flat:x", version="1"), make_span(axis="posture")]
    assert format_model_version(spans) == "cnn-lstm:abc+flat:x:1"
    assert parse_model_version("cnn-lstm:abc+flat:x:1") == [("cnn-lstm", "abc"), ("flat:x", "1")]
    assert format_model_version([]) == "people"
    assert parse_model_version("people") == []


@pytest.mark.parametrize("name", list_taxonomies())
def test_the_page_asks_for_every_axis_of_the_taxonomy(name):
    taxonomy = load_taxonomy(name)
    root = ET.fromstring(build_label_config(taxonomy))
    groups = {group.get("name"): group for group in root.iter("Choices")}
    assert list(groups) == [axis.id for axis in taxonomy.axes]
    for axis in taxonomy.axes:
        group = groups[axis.id]
        assert group.get("perRegion") == "true"
        assert (group.get("required") == "true") == axis.required
        assert tuple(c.get("alias") for c in group) == axis.values
        assert [c.get("value") for c in group] == [b.name for b in axis.behaviours]
        assert [c.get("background") for c in group] == [b.colour for b in axis.behaviours]
        for choice, behaviour in zip(group, axis.behaviours, strict=True):
            assert behaviour.hotkey in (None, choice.get("hotkey"))
    assert root.find("Image").get("value") == "$image"
    assert root.find(".//VectorLabels").get("skeleton") == "true"
    keys = [e.get("hotkey") for e in root.iter() if e.get("hotkey")]
    assert len(keys) == len(set(keys))
    assert "u" not in keys


@pytest.mark.parametrize("name", list_taxonomies())
def test_hotkeys_are_all_different(name):
    keys = plan_hotkeys(load_taxonomy(name))
    assert len(set(keys.values())) == len(keys)
    assert {BOX, SKELETON} <= set(keys)


def make_taxonomy(axis_id="hands", n=2):
    behaviours = tuple(Behaviour(id=f"b{k}", name=f"<b> & {k}") for k in range(n))
    return Taxonomy(id="t", version=1, axes=(Axis(id=axis_id, name="A", behaviours=behaviours),))


def test_more_values_than_keys_and_odd_characters_still_make_a_page():
    root = ET.fromstring(build_label_config(make_taxonomy(n=40)))
    choices = list(root.iter("Choice"))
    assert len(choices) == 40
    assert choices[0].get("value") == "<b> & 0"


@pytest.mark.parametrize("name", ["image", "box", "skeleton", "video", "label"])
def test_an_axis_may_not_have_a_tags_name(name):
    with pytest.raises(InvalidField, match="a name other than"):
        build_label_config(make_taxonomy(name))


def test_the_video_page_follows_boxes():
    root = ET.fromstring(build_video_config(load_taxonomy("edunet-3"), fps=29.97))
    assert root.find("Video").get("framerate") == "29.97"
    assert root.find("VideoRectangle").get("name") == "box"
    assert [c.get("name") for c in root.iter("Choices")] == ["action"]
    with pytest.raises(InvalidField, match="fps"):
        build_video_config(load_taxonomy("edunet-3"), fps=0)


def make_clip(n_frames=50):
    times = np.arange(n_frames) / 25 + 0.04
    return Clip(
        id="clip_a", uri="a.mp4", sha256="00", n_frames=n_frames, fps=25, width=1280, height=720, timestamps=times, lesson="l"
    )


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_box_tracks_survive_the_json_by_value(data):
    frames = sorted(data.draw(st.sets(st.integers(0, 49), min_size=1, max_size=12)))
    corner = st.tuples(
        st.floats(0, 1000, width=16), st.floats(0, 600, width=16), st.floats(1, 64, width=16), st.floats(1, 64, width=16)
    )
    boxes = [(x, y, x + w, y + h) for x, y, w, h in data.draw(st.lists(corner, min_size=len(frames), max_size=len(frames)))]
    track = BoxTrack(id="trk_a", frames=frames, boxes_xyxy=boxes, labels=(Label(axis="action", value="reading"),))
    text = json.dumps(encode_track(track, make_clip(), track.labels), allow_nan=False)
    assert decode_tracks(json.loads(text), n_frames=50, size=SIZE) == [track]


def test_frames_count_from_one_there_and_from_zero_here():
    track = PoseTrack(
        id="trk_a", clip_id="clip_a", frames=[0, 4, 49], boxes_xyxy=[[0, 0, 128, 72]] * 3, pose_px=np.zeros((3, 33, 4))
    )
    (item,) = encode_track(track, make_clip())
    sequence = item["value"]["sequence"]
    assert [entry["frame"] for entry in sequence] == [1, 5, 50]
    assert [entry["enabled"] for entry in sequence] == [True, True, False]
    assert sequence[1]["time"] == pytest.approx(0.2)
    assert (sequence[0]["width"], sequence[0]["height"]) == (10, 10)
    assert item["value"]["framesCount"] == 50
    (back,) = decode_tracks([item], n_frames=50, size=SIZE)
    np.testing.assert_array_equal(back.boxes_xyxy, track.boxes_xyxy)
    np.testing.assert_array_equal(back.frames, [0, 4, 49])


@pytest.mark.parametrize(
    ("change", "where"),
    [
        (lambda r: r[0]["value"].update(framesCount=49), r"framesCount: expected 50 frames, as the container has, got 49"),
        (lambda r: r[0]["value"].update(framesCount=None), "framesCount"),
        (lambda r: r[0]["value"]["sequence"][1].update(frame=0), r"sequence\[1\]\.frame: expected increasing frames from 1 to 50"),
        (lambda r: r[0]["value"]["sequence"][1].update(frame=51), r"sequence\[1\]\.frame"),
        (lambda r: r[0]["value"]["sequence"][1].update(rotation=3.5), r"sequence\[1\]\.rotation: expected 0"),
        (lambda r: r[0]["value"]["sequence"][1].pop("x"), r"sequence\[1\]\.x"),
        (lambda r: r[0]["value"].update(sequence=[]), "at least one box"),
        (lambda r: r[0].update(type="brush"), r"result\[0\]\.type: expected videorectangle or choices"),
        (lambda r: r[1].update(id="other"), "a box sequence for region 'other'"),
    ],
)
def test_bad_video_json_says_where(change, where):
    track = BoxTrack(id="trk_a", frames=[3, 9], boxes_xyxy=[[0, 0, 10, 10]] * 2)
    result = encode_track(track, make_clip(), [Label(axis="action", value="reading")])
    change(result)
    with pytest.raises(FormatError, match=where):
        decode_tracks(result, n_frames=50, size=SIZE)


def test_tracks_beyond_the_clip_and_other_json_are_refused():
    with pytest.raises(InvalidField, match="indices below 50"):
        encode_track(BoxTrack(id="t", frames=[50], boxes_xyxy=[[0, 0, 1, 1]]), make_clip())
    with pytest.raises(InvalidField, match="strictly increasing"):
        BoxTrack(id="t", frames=[3, 3], boxes_xyxy=[[0, 0, 1, 1]] * 2)
    with pytest.raises(FormatError, match="expected a list"):
        decode_tracks("x", n_frames=1, size=SIZE)
