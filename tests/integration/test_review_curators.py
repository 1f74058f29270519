"""Two curators at once, each in an app of their own, on one catalogue: both logs are whole, and both pages end up the same."""

import shutil
from concurrent.futures import ThreadPoolExecutor

import pytest
from fixtures_review import AXIS, fill_workspace, free_port, run_review_app

from curation.config import open_workspace
from curation.review.decide import VERDICTS
from curation.review.simulated import SimulatedCurator, execute_operator
from curation.store import Catalogue
from schemas.errors import InvalidField

pytestmark = [pytest.mark.integration, pytest.mark.slow]
ROUNDS = 30


@pytest.fixture(params=["sqlite", "postgresql"])
def desks(request, tmp_path):
    """Two workspaces on one catalogue: with SQLite the same folder twice, with PostgreSQL a folder for each curator."""
    if request.param == "sqlite":
        workspace = fill_workspace(tmp_path / "school")
        return workspace, workspace
    address = request.getfixturevalue("postgres_server").make_url()
    first = fill_workspace(tmp_path / "school", catalogue=address)
    shutil.copytree(first.root, tmp_path / "annexe" / "school")
    return first, open_workspace(tmp_path / "annexe" / "school")


def work(url, name, seed):
    """Decide on overlapping labels, and take back now and then; return what the app confirmed, in order."""
    tiles = SimulatedCurator(url, f"school-{AXIS}").look(18)
    confirmed = []
    for n in range(ROUNDS):
        chosen = [tiles[(7 * n + seed) % 18], tiles[(5 * n + seed) % 18]]
        kind = ("drop", "keep", "relabel", "ambiguous", "undo")[(n + seed) % 5]
        params = {"curator": name} | ({"value": ("sleep", "stand")[seed]} if kind == "relabel" else {})
        samples = [] if kind == "undo" else [tile.sample_id for tile in chosen]
        try:
            done = execute_operator(url, f"school-{AXIS}", kind, samples, params)
        except InvalidField:
            assert kind == "undo"  # nothing of one's own is left to take back
            continue
        confirmed += [(tubelet, kind) for tubelet in done["tubelets"]]
    return confirmed


def test_both_logs_are_whole_and_both_pages_agree(desks):
    first, second = desks
    with run_review_app(first, free_port()) as one, run_review_app(second, free_port()) as two, ThreadPoolExecutor(2) as pool:
        told = {name: pool.submit(work, url, name, seed) for seed, (name, url) in enumerate({"cy": one, "di": two}.items())}
        told = {name: future.result() for name, future in told.items()}
        pages = []
        for url in (one, two):
            execute_operator_look(url)
            tiles = SimulatedCurator(url, f"school-{AXIS}").look(18)
            pages.append({tile.tubelet_id: (tile.label, tile.verdict) for tile in tiles})
    with Catalogue.open(first.catalogue_url) as catalogue:
        made, labels = catalogue.list_verdicts(AXIS), catalogue.current_labels(AXIS)
    for name, confirmed in told.items():
        assert [(v.tubelet_id, v.kind) for v in made if v.curator == name] == confirmed
        assert len(confirmed) > ROUNDS
    assert len(made) == sum(map(len, told.values()))
    standing = {c.tubelet_id: (c.span.value, c.verdict and VERDICTS[c.verdict.kind]) for c in labels}
    assert pages == [standing, standing]


def execute_operator_look(url):
    """What the panel does every few seconds: it brings the page up to date."""
    from curation.review.simulated import _post

    request = {"operator_uri": "@curate/review/look", "dataset_name": f"school-{AXIS}", "params": {}, "selected": [], "view": []}
    assert _post(url, "/operators/execute", request)["result"]["ours"]
