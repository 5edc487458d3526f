"""`/sources` and `/sources.json` of a replica."""

from typing import Any

import orjson

from services.common.http import Page, Pages
from services.ingest.core.completeness import Completeness
from services.ingest.core.source_page import as_html
from services.ingest.core.source_report import judged


def source_pages(completeness: Completeness, replica: int) -> Pages:
    """The two pages of what this replica has read."""

    def table() -> dict[str, Any]:
        return {"replica": replica, "forgotten": completeness.num_forgotten, "sources": judged(completeness.rows())}

    def html() -> Page:
        about = f"What replica {replica} of ingest has read, by source; worst first."
        return Page("text/html; charset=utf-8", as_html(table()["sources"], about, completeness.num_forgotten))

    return {"/sources": html, "/sources.json": lambda: Page("application/json", orjson.dumps(table()))}
