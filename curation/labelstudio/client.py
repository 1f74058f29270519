"""Label Studio's REST API: the dozen calls that the tool makes, through httpx.

The SDK needs two to three seconds to import, takes a token's form for its scheme and retries in silence; here every failure becomes
one line: which server, which call, what it said.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from types import TracebackType
from typing import Any, Self

import httpx

from curation.labelstudio.account import Account
from schemas.errors import AuthError, ServerError

__all__ = ["Client"]

_PAGE = 200
_SERVICE = "label-studio"


class Client:
    """A connection to one Label Studio. Legacy tokens ("Token …") and personal access tokens ("Bearer …") are both tried.

    Every method raises `ServerError` if the server is down or answers with an error, and `AuthError` if it refuses the token.
    """

    def __init__(self, account: Account, *, timeout: float = 120.0) -> None:
        self.url = account.url.rstrip("/")
        self._token = account.token
        self._http = httpx.Client(base_url=self.url, timeout=httpx.Timeout(timeout, connect=5), trust_env=False)
        self._header: str | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._http.close()

    def check_token(self) -> str:
        """Return the e-mail address that the token belongs to."""
        schemes = {"Token": self._token}
        access = self._exchange_token()
        if access is not None:
            schemes["Bearer"] = access
        for scheme, token in schemes.items():
            response = self._send("GET", "/api/current-user/whoami", headers={"Authorization": f"{scheme} {token}"})
            if response.status_code == 200:
                self._header = f"{scheme} {token}"
                return str(self._read(response)["email"])
        tried = "as a legacy token (Token) and as a personal access token (Bearer, by /api/token/refresh)"
        raise AuthError(_SERVICE, self.url, f"refuses the token; tried it {tried}")

    def find_project(self, title: str) -> dict[str, Any] | None:
        """Return the oldest project of exactly that title."""
        found = [p for p in self._list("/api/projects", {"title": title}) if p["title"] == title]
        return min(found, key=lambda project: int(project["id"])) if found else None

    def create_project(self, title: str, label_config: str) -> dict[str, Any]:
        """Make a project."""
        body = {
            "title": title,
            "label_config": label_config,
            "description": "Made by curate. Labels go back with `curate label pull`.",
        }
        return dict(self._call("POST", "/api/projects", json=body))

    def update_project(self, project: int, **changes: Any) -> dict[str, Any]:
        """Change fields of a project."""
        return dict(self._call("PATCH", f"/api/projects/{project}", json=changes))

    def link_folder(self, project: int, path: str) -> None:
        """Let a project show the files of a folder; a folder that is linked already stays as it is."""
        linked = self._call("GET", "/api/storages/localfiles", params={"project": project})
        if not any(str(storage["path"]).rstrip("/") == path.rstrip("/") for storage in linked):
            self._call("POST", "/api/storages/localfiles", json={"project": project, "path": path, "title": "key frames"})

    def link_backend(self, project: int, url: str) -> None:
        """Connect an ML backend; one that is connected already stays as it is."""
        linked = self._call("GET", "/api/ml", params={"project": project})
        if not any(str(backend["url"]).rstrip("/") == url.rstrip("/") for backend in linked):
            self._call("POST", "/api/ml", json={"project": project, "url": url, "title": "curate", "is_interactive": False})

    def iter_tasks(self, project: int, *, full: bool) -> Iterator[dict[str, Any]]:
        """Yield the tasks of a project by id; `full` with their annotations and predictions."""
        page = 1
        while True:
            fields = "all" if full else "task_only"
            size = _PAGE // 4 if full else _PAGE
            params = {"project": project, "page": page, "page_size": size, "fields": fields}
            answer = self._call("GET", "/api/tasks", params=params, missing={"tasks": []})
            yield from answer["tasks"]
            if len(answer["tasks"]) < size:
                return
            page += 1

    def import_tasks(self, project: int, tasks: Sequence[Mapping[str, Any]]) -> list[int]:
        """Import tasks with their predictions; return their ids."""
        params = {"return_task_ids": "true", "commit_to_project": "true"}
        answer = self._call("POST", f"/api/projects/{project}/import", params=params, json=list(tasks))
        return [int(number) for number in answer["task_ids"]]

    def import_predictions(self, project: int, predictions: Sequence[Mapping[str, Any]]) -> None:
        """Add predictions to tasks that are there."""
        self._call("POST", f"/api/projects/{project}/import/predictions", json=list(predictions))

    def delete_prediction(self, prediction: int) -> None:
        """Delete a prediction; one that is gone already is fine."""
        self._call("DELETE", f"/api/predictions/{prediction}/", missing=None)

    def delete_task(self, task: int) -> None:
        """Delete a task; one that is gone already is fine."""
        self._call("DELETE", f"/api/tasks/{task}/", missing=None)

    def create_annotation(self, task: int, result: Sequence[Mapping[str, Any]], **fields: Any) -> dict[str, Any]:
        """Label a task, as an annotator would."""
        return dict(self._call("POST", f"/api/tasks/{task}/annotations/", json={"result": list(result), **fields}))

    def update_annotation(self, annotation: int, **changes: Any) -> dict[str, Any]:
        """Change an annotation."""
        return dict(self._call("PATCH", f"/api/annotations/{annotation}/", json=changes))

    def list_users(self) -> dict[int, str]:
        """Return user id → e-mail address."""
        return {int(user["id"]): str(user["email"]) for user in self._call("GET", "/api/users")}

    def _exchange_token(self) -> str | None:
        response = self._send("POST", "/api/token/refresh", json={"refresh": self._token})
        try:
            return str(response.json()["access"]) if response.status_code == 200 else None
        except (ValueError, KeyError):
            return None

    def _list(self, path: str, params: Mapping[str, Any]) -> list[dict[str, Any]]:
        out: list[dict[str, Any]] = []
        page: str | None = path
        query: Mapping[str, Any] | None = {**params, "page_size": _PAGE}
        while page:
            answer = self._call("GET", page, params=query)
            out += answer["results"]
            page, query = answer.get("next"), None
        return out

    def _call(self, method: str, path: str, *, missing: Any = ..., **request: Any) -> Any:
        if self._header is None:
            self.check_token()
        response = self._send(method, path, headers={"Authorization": self._header}, **request)
        if response.status_code == 404 and missing is not ...:
            return missing
        if response.status_code in (401, 403):
            raise AuthError(_SERVICE, self.url, f"{method} {path}: refused ({response.status_code}) {_shorten(response.text)}")
        if response.is_error:
            raise ServerError(_SERVICE, self.url, f"{method} {path}: {response.status_code} {_shorten(response.text)}")
        return self._read(response) if response.content else None

    def _send(self, method: str, path: str, **request: Any) -> httpx.Response:
        try:
            return self._http.request(method, path, **request)
        except httpx.ConnectError as error:
            raise ServerError(_SERVICE, self.url, "does not answer; start it with `curate up`") from error
        except httpx.HTTPError as error:
            raise ServerError(
                _SERVICE, self.url, f"{method} {path}: broke off ({_shorten(str(error)) or type(error).__name__})"
            ) from error

    def _read(self, response: httpx.Response) -> Any:
        try:
            return response.json()
        except ValueError as error:
            raise ServerError(_SERVICE, self.url, f"{response.request.url.path}: answered with something else than JSON") from error


def _shorten(text: str, limit: int = 300) -> str:
    flat = " ".join(text.split())
    return flat if len(flat) <= limit else flat[: limit - 1] + "…"
