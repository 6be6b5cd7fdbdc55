"""The templates of the pages, and the words they share."""

from __future__ import annotations

from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from c100k import units
from c100k.rules import format_number


def render(template: str, **values: Any) -> str:
    """One of `templates/` with these values, escaped where it is HTML; a name that is not given is an error."""
    environment = Environment(
        loader=PackageLoader("c100k"),
        autoescape=template.endswith(".html.j2"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters.update(
        number=format_number,
        quantity=lambda value, metric: units.quantity(metric, value),
        percent=units.percent,
        mib=units.mib,
        kib=units.kib,
        moment=units.moment,
        since=units.since,
    )
    return environment.get_template(template).render(**values)
