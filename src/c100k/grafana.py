"""Grafana through its HTTP API: data sources, dashboards, their folders, and annotations on the time line.

The contract is that of Grafana 11 and 12, https://grafana.com/docs/grafana/latest/developers/http_api/.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from grafana_client import GrafanaApi
from grafana_client.client import GrafanaException

from c100k.errors import C100KError
from c100k.run_annotations import Annotation

ANSWER_LIMIT_S = 10.0

#: More than the phases and faults of any run; Grafana gives 100 by itself.
_ANNOTATIONS_LIMIT = 1000

#: What Grafana itself counts up in a dashboard, or raises to what its version knows.
_KEPT_BY_GRAFANA = frozenset({"id", "version", "schemaVersion"})


class GrafanaError(C100KError):
    """Grafana does not answer, or refuses what it is asked for."""


@dataclass(frozen=True)
class Dashboard:
    """A dashboard's model, and the folder that it is in: an empty uid is the root."""

    model: Mapping[str, Any]
    folder_uid: str

    def holds(self, wanted: Mapping[str, Any]) -> bool:
        """Whether it is as `wanted`, in all that this speaks of."""
        return self.part(wanted) == {key: value for key, value in wanted.items() if key not in _KEPT_BY_GRAFANA}

    def part(self, wanted: Mapping[str, Any]) -> dict[str, Any]:
        """So much of it as `wanted` speaks of."""
        return {key: self.model[key] for key in wanted if key in self.model and key not in _KEPT_BY_GRAFANA}


class Grafana:
    """One Grafana, by its address and a token, or a name with its password. All methods may raise `GrafanaError`."""

    def __init__(
        self, url: str, credential: str | tuple[str, str] | None, answer_limit_s: float = ANSWER_LIMIT_S
    ) -> None:
        self._url = url.rstrip("/")
        self._api = GrafanaApi.from_url(f"{self._url}/", credential, timeout=answer_limit_s)

    def dashboard(self, uid: str) -> Dashboard | None:
        """The dashboard of this uid, if there is one."""
        with self._errors("the dashboard"):
            try:
                found = self._api.dashboard.get_dashboard(uid)
            except GrafanaException as error:
                if error.status_code == HTTPStatus.NOT_FOUND:
                    return None
                raise
            return Dashboard(found["dashboard"], found["meta"].get("folderUid") or "")

    def save(self, model: Mapping[str, Any], folder_uid: str, message: str) -> None:
        """Store a dashboard in place of the one with its uid."""
        request = {
            "dashboard": {**model, "id": None},
            "folderUid": folder_uid,
            "message": message,
            "overwrite": True,
        }
        with self._errors("the dashboard"):
            self._api.dashboard.update_dashboard(request)

    def delete(self, uid: str) -> None:
        """Remove a dashboard."""
        with self._errors("the dashboard"):
            self._api.dashboard.delete_dashboard(uid)

    def data_source(self, uid: str) -> dict[str, Any] | None:
        """The data source of this uid, if there is one."""
        with self._errors("the data source"):
            try:
                found: dict[str, Any] = self._api.datasource.get_datasource_by_uid(uid)
            except GrafanaException as error:
                if error.status_code == HTTPStatus.NOT_FOUND:
                    return None
                raise
            return found

    def save_data_source(self, model: Mapping[str, Any], *, new: bool) -> None:
        """Store a data source that is `new`, or in place of the one with its uid."""
        with self._errors("the data source"):
            if new:
                self._api.datasource.create_datasource(dict(model))
            else:
                self._api.datasource.update_datasource_by_uid(model["uid"], dict(model))

    def delete_data_source(self, uid: str) -> None:
        """Remove a data source."""
        with self._errors("the data source"):
            self._api.datasource.delete_datasource_by_uid(uid)

    def folders(self) -> dict[str, str]:
        """The uid of each folder at the root, by its title."""
        with self._errors("the folders"):
            return {folder["title"]: folder["uid"] for folder in self._api.folder.get_all_folders()}

    def create_folder(self, title: str) -> str:
        """The uid of a new folder at the root."""
        with self._errors("the folder"):
            return str(self._api.folder.create_folder(title)["uid"])

    def annotations(self, tags: list[str]) -> dict[int, Annotation]:
        """Those that have all of these tags, by their ids."""
        with self._errors("the annotations"):
            found = self._api.annotations.find_annotations(tags=tags, limit=_ANNOTATIONS_LIMIT)
            return {
                each["id"]: Annotation(
                    begins_ms=each["time"],
                    ends_ms=each.get("timeEnd") or each["time"],
                    text=each["text"],
                    tags=frozenset(each["tags"] or ()),
                    dashboard_uid=each.get("dashboardUID") or "",
                )
                for each in found
            }

    def annotate(self, annotation: Annotation) -> None:
        """Add an annotation, to all dashboards that show its tags, or to the one that it names."""
        with self._errors("the annotation"):
            self._api.annotations.add_annotation(
                dashboard_uid=annotation.dashboard_uid or None,
                time_from=annotation.begins_ms,
                time_to=annotation.ends_ms,
                tags=sorted(annotation.tags),
                text=annotation.text,
            )

    def remove_annotation(self, number: int) -> None:
        """Remove the annotation with this id."""
        with self._errors("the annotation"):
            self._api.annotations.delete_annotations_by_id(number)

    @contextmanager
    def _errors(self, what: str) -> Iterator[None]:
        try:
            yield
        except GrafanaException as error:
            answer = error.response.get("message") if isinstance(error.response, dict) else error.message
            raise GrafanaError(f"Grafana at {self._url} refuses {what}: {answer} ({error.status_code})") from None
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise GrafanaError(f"Grafana at {self._url} does not answer about {what}: {error}") from None
