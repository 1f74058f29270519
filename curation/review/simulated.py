"""A curator made of code, for demos and measurements: it sees what the page shows and decides through the page's own operators.

It talks to the running app over HTTP as a browser does, needs no FiftyOne in its own process, and cannot reach the catalogue.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

from attrs import field, frozen

from curation.review.environment import PLUGIN
from curation.review.looks import FIRST_VIEW
from schemas.errors import InvalidField, ServerError, UnknownName

__all__ = ["Decide", "Seen", "SimulatedCurator", "execute_operator"]

Decide = Callable[[str, str], tuple[Literal["drop", "relabel", "keep"], str | None]]
"""(tubelet id, label) → what to do, and the new value of a relabel."""

_VIEWS = "query($name: String!) { dataset(name: $name) { savedViews { slug viewStages } } }"
_SAMPLES = """query($name: String!, $view: BSONArray!, $first: Int!, $after: String) {
  samples(dataset: $name, view: $view, first: $first, after: $after) {
    ... on SampleItemStrConnection { pageInfo { hasNextPage endCursor } edges { node { ... on VideoSample { id sample } } } } } }"""


@frozen(kw_only=True)
class Seen:
    """What a tile of the page says."""

    sample_id: str
    tubelet_id: str
    label: str
    loss: float | None
    verdict: str | None


def execute_operator(
    app_url: str, dataset: str, name: str, sample_ids: Sequence[str], params: dict[str, Any] | None = None
) -> dict[str, Any]:
    """Run one of the plug-in's operators (drop, relabel, keep, ambiguous, undo) in the running app, as a click does.

    Args:
        app_url: e.g. ``http://127.0.0.1:5151``.
        dataset: name of the dataset that the page shows.
        name: the operator.
        sample_ids: the selected samples.
        params: `value` for relabel; `curator` says who decides.

    Raises:
        ServerError: if the app is down, does not have the operator, or the operator fails.
        InvalidField: if the operator refuses.
    """
    request = {
        "operator_uri": f"{PLUGIN}/{name}",
        "dataset_name": dataset,
        "params": params or {},
        "selected": list(sample_ids),
        "current_sample": None,
        "view": [],
    }
    answer = _post(app_url, "/operators/execute", request)
    if answer.get("error"):
        raise ServerError("FiftyOne", app_url, f"operator {name}: {answer.get('error_message') or answer['error']}")
    result: dict[str, Any] = answer["result"]
    if not result["done"]:
        raise InvalidField(name, "a decision that can be made", result["message"])
    return result


@frozen
class SimulatedCurator:
    """Goes through a saved view from the top."""

    app_url: str
    dataset: str
    name: str = field(default="simulated", kw_only=True)
    view: str = field(default=FIRST_VIEW, kw_only=True)

    def look(self, k: int) -> list[Seen]:
        """Return the first `k` tiles of the view.

        Raises:
            ServerError: if the app is down.
            UnknownName: if there is no such dataset or view.
        """
        stages, after = self._find_view(), None
        seen: list[Seen] = []
        while len(seen) < k:
            variables = {"name": self.dataset, "view": stages, "first": min(k - len(seen), 100), "after": after}
            page = _query(self.app_url, _SAMPLES, variables)["samples"]
            seen += [_read_tile(edge["node"]) for edge in page["edges"]]
            after = page["pageInfo"]["endCursor"]
            if not page["pageInfo"]["hasNextPage"]:
                break
        return seen

    def review_top(self, k: int, decide: Decide) -> dict[str, int]:
        """Decide on the first `k` labels of the view, equal decisions in one click; return how many of each kind were made.

        Raises:
            ServerError: if the app is down.
            InvalidField: if a decision is refused; those before it stand.
        """
        clicks: dict[tuple[str, str | None], list[str]] = {}
        for tile in self.look(k):
            clicks.setdefault(decide(tile.tubelet_id, tile.label), []).append(tile.sample_id)
        counts = {"drop": 0, "relabel": 0, "keep": 0}
        for (kind, value), samples in clicks.items():
            params = {"curator": self.name} | ({} if value is None else {"value": value})
            execute_operator(self.app_url, self.dataset, kind, samples, params)
            counts[kind] += len(samples)
        return counts

    def _find_view(self) -> list[dict[str, Any]]:
        import json

        found = _query(self.app_url, _VIEWS, {"name": self.dataset})["dataset"]
        if found is None:
            raise UnknownName("dataset", self.dataset, ["those built by `curate review open`"])
        views = {view["slug"]: view["viewStages"] for view in found["savedViews"]}
        if self.view not in views:
            raise UnknownName("view", self.view, views)
        return [json.loads(stage) if isinstance(stage, str) else stage for stage in views[self.view]]


def _read_tile(node: dict[str, Any]) -> Seen:
    sample = node["sample"]
    return Seen(
        sample_id=node["id"],
        tubelet_id=sample["tubelet"],
        label=sample["label"]["label"],
        loss=sample.get("loss"),
        verdict=sample.get("verdict"),
    )


def _query(app_url: str, query: str, variables: dict[str, Any]) -> dict[str, Any]:
    answer = _post(app_url, "/graphql", {"query": query, "variables": variables})
    if answer.get("errors"):
        raise ServerError("FiftyOne", app_url, str(answer["errors"][0]["message"]))
    data: dict[str, Any] = answer["data"]
    return data


def _post(app_url: str, path: str, body: dict[str, Any]) -> dict[str, Any]:
    import httpx

    try:
        response = httpx.post(f"{app_url.rstrip('/')}{path}", json=body, timeout=120)
        answer: dict[str, Any] = response.json()
        if response.is_error:
            trace = str(answer.get("stack") or response.reason_phrase).strip().splitlines()
            raise ServerError("FiftyOne", app_url, f"{path}: {trace[-1]}")
    except (httpx.HTTPError, ValueError) as error:
        raise ServerError("FiftyOne", app_url, f"{path}: {' '.join(str(error).split()) or type(error).__name__}") from error
    return answer
