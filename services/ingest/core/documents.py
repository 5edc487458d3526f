"""Whole lines and records masked at once, for tools: secrets, then personal data, by the same engine as the stream."""

from collections import Counter
from collections.abc import Iterator
from typing import Any

import orjson

from services.ingest.core.headers import parse_oslo, parse_syslog
from services.ingest.core.privacy import Known, Privacy
from services.ingest.core.pseudonyms import HOST, PROJECT, USER
from services.ingest.core.secrets import MAX_JSON_DEPTH, mask, mask_json

#: A shorter value of a field is not looked for in other fields: a user `a` is everywhere.
MIN_ID_CHARS = 8


class Documents:
    """Masks texts and JSON that was not parsed by ingest.

    Attributes:
        secrets: how many were replaced so far, by form.
    """

    def __init__(self, privacy: Privacy) -> None:
        self.privacy = privacy
        self.secrets: Counter[str] = Counter()
        self._ids: set[str] = set()

    def begin(self) -> None:
        """A new file: ids of the last one's requests are not looked for in it."""
        self._ids.clear()

    def line(self, text: str) -> str:
        """A line of a file: JSON by its fields, as it was when nothing in it is masked; else as text."""
        if text.startswith("{"):
            try:
                record = orjson.loads(text)
            except orjson.JSONDecodeError:
                pass
            else:
                masked = self.record(record)
                return text if masked == record else orjson.dumps(masked).decode()
        return self._text(text)

    def record(self, record: Any) -> Any:
        """Any JSON; the ids of users and projects that its fields name are replaced wherever they stand in it."""
        masked = mask_json(record, counts=self.secrets)
        return self.privacy.value(masked, list(self._ids_in(masked, "")))

    def _ids_in(self, value: Any, name: str, depth: int = 0) -> Iterator[tuple[str, str]]:
        """The ids in a record with their pseudonyms, and the hosts in it learnt."""
        if isinstance(value, str):
            kind = self.privacy.kind_of(name)
            if kind == HOST:
                self.privacy.personal.learn_host(value)
            elif kind in (USER, PROJECT) and len(value) >= MIN_ID_CHARS and self.privacy.is_masked(kind):
                yield value, self.privacy.personal.field(kind, value)
            else:
                yield from self._known(value) or ()
        elif isinstance(value, dict | list) and depth < MAX_JSON_DEPTH:
            items = value.items() if isinstance(value, dict) else ((name, item) for item in value)
            for key, item in items:
                yield from self._ids_in(item, self.privacy.name_in(name, key), depth + 1)

    def _text(self, text: str) -> str:
        """A line of text. What follows a line with a request block may name its user and project."""
        text = mask(text, self.secrets)
        known = self._known(text)
        if known is None:
            return self.privacy.personal.same_ids(self.privacy.known(text, []), self._ids)
        self._ids = {new for _, new in known}
        return self.privacy.known(text, known)

    def _known(self, text: str) -> Known | None:
        """The ids in the header of a line and their pseudonyms; None for a line without a request block."""
        if not text[:1].isdigit() and not text.startswith("<") and not text[:1].isupper():
            return None
        header = parse_oslo(text)
        if header is None:
            syslog = parse_syslog(text)
            if syslog is None:
                return None
            self.privacy.personal.learn_host(syslog.host)
            header = parse_oslo(syslog.body)
        if header is None or header.context is None:
            return None
        return self.privacy.ids(header.ids.user_id, header.ids.project_id)
