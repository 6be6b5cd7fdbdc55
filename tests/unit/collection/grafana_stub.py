"""Stands for a Grafana, of which no server could be had: it keeps the contract of the HTTP API of Grafana 11 and 12.

Requests and answers are those of the reference for these versions
(https://grafana.com/docs/grafana/latest/developers/http_api/), with the fields that Grafana adds by itself. Where the
two versions differ, it does as the one that it was started as.
"""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple
from urllib.parse import parse_qs, urlsplit

TOKEN = "glsa_secret"
USER = "admin", "secret-password"

_CREDENTIALS = {f"Bearer {TOKEN}", "Basic " + base64.b64encode(":".join(USER).encode()).decode()}


class Refusal(Exception):
    """An answer that is an error."""

    def __init__(self, code: int, message: str, **more: str) -> None:
        super().__init__(message)
        self.code = code
        self.body = {"message": message, **more}


class Stored(NamedTuple):
    model: dict[str, Any]
    folder_uid: str
    message: str


class GrafanaStub:
    """What it holds, and the requests that changed it."""

    def __init__(self, version: str) -> None:
        self.version = version
        self.url = ""
        self.dashboards: dict[str, Stored] = {}
        self.data_sources: dict[str, dict[str, Any]] = {}
        self.folders: dict[str, str] = {}
        self.annotations: dict[int, dict[str, Any]] = {}
        self.writes: list[str] = []
        self._numbers = iter(range(1, 1000))

    def answer(self, method: str, path: str, asked: dict[str, list[str]], body: Any) -> Any:
        match [method, *path.strip("/").split("/")]:
            case ["GET", "api", "health"]:
                return {"database": "ok", "version": self.version, "commit": "0123456789"}
            case ["GET", "api", "dashboards", "uid", uid]:
                return self._dashboard(uid)
            case ["POST", "api", "dashboards", "db"]:
                return self._save(body)
            case ["DELETE", "api", "dashboards", "uid", uid]:
                title = self._stored(uid).model["title"]
                del self.dashboards[uid]
                return {"title": title, "message": f"Dashboard {title} deleted", "uid": uid}
            case ["GET", "api", "datasources", "uid", uid]:
                return self._data_source(uid)
            case ["POST", "api", "datasources"]:
                return self._create_data_source(body)
            case ["PUT", "api", "datasources", "uid", uid]:
                return self._update_data_source(uid, body)
            case ["DELETE", "api", "datasources", "uid", uid]:
                number = self._data_source(uid)["id"]
                del self.data_sources[uid]
                return {"id": number, "message": "Data source deleted"}
            case ["GET", "api", "folders"]:
                return [self._folder(uid) for uid in self.folders]
            case ["POST", "api", "folders"]:
                return self._create_folder(body)
            case ["GET", "api", "annotations"]:
                return self._find(asked)
            case ["POST", "api", "annotations"]:
                return self._annotate(body)
            case ["DELETE", "api", "annotations", number]:
                if self.annotations.pop(int(number), None) is None:
                    raise Refusal(404, "Could not find annotation to update")
                return {"message": "Annotation deleted"}
        raise Refusal(404, "Not found")

    def _stored(self, uid: str) -> Stored:
        if uid not in self.dashboards:
            more = {"messageId": "dashboard.notfound", "traceID": ""} if self.version.startswith("12.") else {}
            raise Refusal(404, "Dashboard not found", **more)
        return self.dashboards[uid]

    def _dashboard(self, uid: str) -> Any:
        stored = self._stored(uid)
        meta = {
            "isStarred": False,
            "url": f"/d/{uid}/a-slug",
            "slug": "a-slug",
            "version": stored.model["version"],
            "folderUid": stored.folder_uid,
            "folderTitle": self.folders.get(stored.folder_uid, "Dashboards"),
            "provisioned": False,
        }
        if self.version.startswith("12."):
            meta["apiVersion"] = "v1beta1"
        return {"meta": meta, "dashboard": stored.model}

    def _save(self, body: Any) -> Any:
        model = body["dashboard"]
        if not model.get("title"):
            raise Refusal(400, "Dashboard title cannot be empty", status="empty-name")
        folder_uid = body.get("folderUid") or ""
        if folder_uid and folder_uid not in self.folders:
            raise Refusal(400, "folder not found")
        old = self.dashboards.get(model["uid"])
        if old is not None and not body.get("overwrite"):
            raise Refusal(412, "The dashboard has been changed by someone else", status="version-mismatch")
        number = old.model["id"] if old else next(self._numbers)
        version = old.model["version"] + 1 if old else 1
        model = {**model, "id": number, "version": version}
        if self.version.startswith("12."):
            model["schemaVersion"] = max(42, model.get("schemaVersion", 0))
        self.dashboards[model["uid"]] = Stored(model, folder_uid, body.get("message", ""))
        return {
            "id": number,
            "uid": model["uid"],
            "url": f"/d/{model['uid']}/a-slug",
            "status": "success",
            "version": version,
            "slug": "a-slug",
            "folderUid": folder_uid,
        }

    def _data_source(self, uid: str) -> dict[str, Any]:
        if uid not in self.data_sources:
            raise Refusal(404, "Data source not found")
        return self.data_sources[uid]

    def _create_data_source(self, body: Any) -> Any:
        if body["name"] in (each["name"] for each in self.data_sources.values()):
            raise Refusal(409, "data source with the same name already exists")
        self._keep_data_source(body, next(self._numbers), 1)
        return self._saved("added", body["uid"])

    def _update_data_source(self, uid: str, body: Any) -> Any:
        old = self._data_source(uid)
        if body.get("version", old["version"]) != old["version"]:
            raise Refusal(412, "Datasource has already been updated by someone else. Please reload and try again")
        self._keep_data_source({**body, "uid": uid}, old["id"], old["version"] + 1)
        return self._saved("updated", uid)

    def _keep_data_source(self, body: Any, number: int, version: int) -> None:
        own = {"id": number, "orgId": 1, "version": version, "readOnly": False}
        defaults = {"isDefault": False, "basicAuth": False, "database": "", "jsonData": {}, "secureJsonFields": {}}
        self.data_sources[body["uid"]] = {**defaults, **body, **own}

    def _saved(self, how: str, uid: str) -> Any:
        found = self.data_sources[uid]
        return {"datasource": found, "id": found["id"], "message": f"Datasource {how}", "name": found["name"]}

    def _folder(self, uid: str) -> dict[str, Any]:
        return {"id": len(uid), "uid": uid, "title": self.folders[uid]}

    def _create_folder(self, body: Any) -> Any:
        if body["title"] in self.folders.values():
            raise Refusal(409, "a folder with the same name already exists in the current location")
        uid = f"folder{next(self._numbers)}"
        self.folders[uid] = body["title"]
        return {**self._folder(uid), "url": f"/dashboards/f/{uid}/a-slug", "version": 1, "canSave": True}

    def _find(self, asked: dict[str, list[str]]) -> Any:
        found = [
            each
            for each in self.annotations.values()
            if set(asked.get("tags", ())) <= set(each["tags"])
            and asked.get("dashboardUID", [each["dashboardUID"]])[0] == each["dashboardUID"]
        ]
        return found[: int(asked.get("limit", ["100"])[0])]

    def _annotate(self, body: Any) -> Any:
        if not body.get("text"):
            raise Refusal(400, "Failed to save annotation")
        number = next(self._numbers)
        self.annotations[number] = {
            "id": number,
            "alertId": 0,
            "dashboardId": 0,
            "dashboardUID": body.get("dashboardUID"),
            "panelId": body.get("panelId") or 0,
            "userId": 1,
            "time": body["time"],
            "timeEnd": body.get("timeEnd") or body["time"],
            "text": body["text"],
            "tags": body.get("tags", []),
            "data": {},
        }
        return {"message": "Annotation added", "id": number}


def _handler(stub: GrafanaStub) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _do(self) -> None:
            content = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            url = urlsplit(self.path)
            status: int = 200
            try:
                if self.headers.get("Authorization") not in _CREDENTIALS:
                    raise Refusal(401, "Invalid API key", messageId="api-key.invalid")
                body = json.loads(content) if content else None
                if self.command != "GET":
                    stub.writes.append(f"{self.command} {url.path}")
                answer = stub.answer(self.command, url.path, parse_qs(url.query), body)
            except Refusal as refusal:
                status, answer = refusal.code, refusal.body
            text = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json; charset=UTF-8")
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        do_GET = do_POST = do_PUT = do_DELETE = _do

        def log_message(self, format: str, *arguments: object) -> None:
            """Says nothing."""

    return Handler


@contextmanager
def serving(version: str) -> Iterator[GrafanaStub]:
    """A stub that answers at its `url`."""
    stub = GrafanaStub(version)
    with ThreadingHTTPServer(("127.0.0.1", 0), _handler(stub)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        stub.url = f"http://127.0.0.1:{server.server_port}"
        try:
            yield stub
        finally:
            server.shutdown()


if __name__ == "__main__":
    # For tests that are no Python: says in YAML where it is, and answers until it is ended.
    with serving("12.2.0") as for_others:
        print(f"grafana_url: {for_others.url}\ngrafana_token: {TOKEN}", flush=True)
        threading.Event().wait()
