"""Timelines, indicators, groups and the page of `curate report --out`."""

import csv
import json
import re

import numpy as np
import pytest
from click.testing import CliRunner

from curation.analysis.groups import count_common, find_groups
from curation.analysis.indicators import Roles, measure_lesson
from curation.analysis.report import read_roles, write_report
from curation.analysis.timelines import Timeline, collect_timelines, smooth_timelines
from curation.cli import cli
from schemas.errors import FormatError, InvalidField, NotEnoughData, UnknownName
from schemas.records import PredictedSpan

VALUES = ("attend", "write", "raise-hand", "look-aside", "sleep")


def make_timeline(student, said, *, window=2.0, lesson="l1"):
    value = np.array([VALUES.index(name) for name in said])
    start = window * np.arange(len(said))
    return Timeline(
        lesson=lesson, student=student, values=VALUES, tubelet_ids=tuple(f"{student}-{i}" for i in range(len(said))),
        start_s=start, end_s=start + window, probs=np.eye(len(VALUES))[value], labelled=np.ones(len(said), bool),
        surprise=np.full(len(said), np.nan),
    )  # fmt: skip


def test_indicators_by_hand():
    ann = make_timeline("ann", ["attend", "raise-hand", "raise-hand", "sleep", "attend"])
    ben = make_timeline("ben", ["write", "look-aside", "sleep", "sleep", "sleep"])
    lesson = measure_lesson([ann, ben])
    first, second = lesson.students
    assert ann.spells == [("attend", 0, 2), ("raise-hand", 2, 6), ("sleep", 6, 8), ("attend", 8, 10)]
    assert (first.attention, second.attention) == pytest.approx((0.8, 0.2))
    assert (first.participation_s, first.effective_s, first.events, first.per_minute) == pytest.approx((4, 4, 1, 6))
    assert (second.participation_s, second.events) == (0, 0)
    assert (first.interactions, second.interactions, lesson.interactions) == (1, 1, 1)
    assert (lesson.seconds, lesson.participation, lesson.attention) == pytest.approx((10, 0.5, 0.5))
    short = make_timeline("cid", ["attend", "raise-hand", "attend"], window=1.0)
    assert measure_lesson([short]).students[0].participation_s == 1
    assert measure_lesson([short]).students[0].effective_s == 0


def test_roles_must_name_attention():
    roles = Roles.from_mapping({"attention": ["sleep"], "participation": [], "interaction": []})
    assert measure_lesson([make_timeline("ann", ["sleep", "write"])], roles=roles).attention == 0.5
    with pytest.raises(NotEnoughData, match="behaviours that mean attention among attend, write"):
        measure_lesson(
            [make_timeline("ann", ["sleep"])],
            roles=Roles.from_mapping({key: [] for key in ("attention", "participation", "interaction")}),
        )
    with pytest.raises(InvalidField, match="the three lists"):
        Roles.from_mapping({"attention": []})


def test_common_events_are_counted_once():
    a = [("x", 0.0), ("x", 1.0), ("y", 5.0)]
    assert count_common(a, [("x", 0.5)]) == 1
    assert count_common(a, [("x", 0.5), ("x", 1.5), ("y", 9.0)]) == 2
    assert count_common(a, [("z", 0.5)]) == 0


def test_students_who_act_together_are_a_group():
    rng = np.random.default_rng(0)
    shared = [np.sort(rng.uniform(0, 600, 12)) for _ in range(3)]
    events = {}
    for i in range(12):
        own = [("aside", float(t)) for t in rng.uniform(0, 600, 6)]
        events[f"s{i:02}"] = own + [("hand", float(t + rng.normal(0, 0.4))) for t in shared[i % 3]]
    events["alone"] = [("hand", float(t)) for t in rng.uniform(0, 600, 3)]
    groups = find_groups(events, seconds=600)
    assert len({groups[f"s{i:02}"] for i in (0, 3, 6, 9)}) == 1
    assert len({groups[f"s{i:02}"] for i in range(3)}) == 3
    assert [name for name, group in groups.items() if group == groups["alone"]] == ["alone"]
    assert find_groups(events, seconds=600) == groups


@pytest.fixture
def school(make_school):
    return make_school(2, windows=8)


def test_timelines_are_in_order_and_as_labelled(school):
    found = collect_timelines(school.workspace, school.catalogue)
    assert [(one.lesson, one.student) for one in found] == [
        ("lesson-0", "s0a"),
        ("lesson-0", "s0b"),
        ("lesson-1", "s1a"),
        ("lesson-1", "s1b"),
    ]
    truth = {tubelet.id: value for pairs in school.pairs.values() for tubelet, value in pairs}
    for one in found:
        assert (np.diff(one.start_s) > 0).all()
        np.testing.assert_allclose(one.seconds, 2, atol=0.2)
        assert [one.values[i] for i in one.probs.argmax(axis=1)] == [truth[key] for key in one.tubelet_ids]
    with pytest.raises(UnknownName):
        collect_timelines(school.workspace, school.catalogue, axis="mood")
    with pytest.raises(NotEnoughData, match="labelled or proposed on the axis posture"):
        collect_timelines(school.workspace, school.catalogue, axis="posture")


def test_a_proposal_that_does_not_fit_is_smoothed_and_surprises():
    rng = np.random.default_rng(1)
    timelines = []
    for i in range(8):
        names = [VALUES[(i + t // 8) % 3] for t in range(24)]
        one = make_timeline(f"s{i}", names)
        probs = 0.25 * rng.dirichlet(np.ones(len(VALUES)), 24) + 0.75 * one.probs
        timelines.append(
            one.__class__(
                **{
                    **{n: getattr(one, n) for n in one.__slots__ if n != "__weakref__"},
                    "probs": probs,
                    "labelled": np.zeros(24, bool),
                }
            )
        )
    odd = timelines[0].probs
    odd[12] = 0.1 + 0.5 * np.eye(len(VALUES))[4]
    smoothed = smooth_timelines(timelines)[0]
    assert smoothed.probs[12].argmax() == smoothed.probs[11].argmax()
    assert smoothed.surprise.argmax() == 12
    assert smoothed.surprise[12] > 0.9
    np.testing.assert_allclose(smoothed.probs.sum(axis=1), 1)


def test_the_page_needs_nothing_beside_it(school, tmp_path):
    report = write_report(school.workspace, school.catalogue, tmp_path / "out")
    page = report.page.read_text()
    assert len(re.findall(r'src="data:image/png;base64,iVBOR', page)) == 8
    assert not re.search(r"https?://|<script|file:", page)
    assert "s0a" in page
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert names[:4] == ["lesson-0-class.png", "lesson-0-groups.png", "lesson-0-students.png", "lesson-0-timelines.png"]
    assert (tmp_path / "out" / "lesson-0-class.png").read_bytes().startswith(b"\x89PNG")
    with (tmp_path / "out" / "surprise.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == 32
    assert [float(row["surprise"]) for row in rows] == sorted((float(row["surprise"]) for row in rows), reverse=True)
    again = write_report(school.workspace, school.catalogue, tmp_path / "again")
    assert again.lessons == report.lessons


def test_names_are_escaped(school, make_school, tmp_path):
    odd = make_school(1, folder="odd", students=[("<b>x", "y&z")])
    page = write_report(odd.workspace, odd.catalogue, tmp_path / "out").page.read_text()
    assert "&lt;b&gt;x" in page
    assert "<b>x" not in page


def test_the_command_reports_proposals_too(make_school, tmp_path):
    school = make_school(2, labelled=False)
    tubelets = school.catalogue.list_tubelets()
    values = school.workspace.taxonomy.primary.values
    scores = {value: 0.65 if value == "write" else 0.05 for value in values}
    school.catalogue.add_predictions(
        [PredictedSpan(tubelet_id=t.id, axis="behaviour", value="write", model="m", version="1", scores=scores) for t in tubelets]
    )
    (tmp_path / "roles.yaml").write_text("attention: [write]\nparticipation: []\ninteraction: []\n")
    asked = [
        "report",
        "-w",
        str(school.workspace.root),
        "--out",
        str(tmp_path / "out"),
        "--roles",
        str(tmp_path / "roles.yaml"),
        "--json",
    ]
    done = CliRunner().invoke(cli, asked)
    assert done.exit_code == 0, done.output
    (first, _) = json.loads(done.stdout)["indicators"]
    assert first["attention"] > 0.6
    assert first["participation"] == 0
    with pytest.raises(FormatError, match="no such file"):
        read_roles(tmp_path / "none.yaml")
    (tmp_path / "bad.yaml").write_text("[")
    with pytest.raises(FormatError, match="YAML or JSON"):
        read_roles(tmp_path / "bad.yaml")
