"""Masking of personal data in what ingest reads: lines, their origin, samples, and any JSON.

Ingest applies it right after a line was parsed and before anything else: what is folded, mined, counted, saved and
written is masked already. Secrets are `secrets.py`'s, always; this is personal data and host names, when told to.
"""

import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any

import msgspec
import orjson

from services.common.errors import SettingsInvalid
from services.ingest.core.access import HttpAccess
from services.ingest.core.folding import Fold
from services.ingest.core.lines import Origin, ParsedLine, RawLine
from services.ingest.core.personal import PersonalData
from services.ingest.core.pseudonyms import HOST, KINDS, PROJECT, USER, Pseudonyms
from services.ingest.core.secrets import MAX_JSON_DEPTH, TOO_DEEP
from services.ingest.settings import IngestSettings

#: In an object that is named as a person, project or host.
_NAMELESS = ("id", "name", "uuid", "hostname", "value", "stringValue")
#: Fields of any JSON record that are one person or project, whatever is in them.
_FIELDS = {
    **dict.fromkeys(
        "user user_id user_name username remote_user login owner owner_id actor userid user.id user.name "
        "enduser.id".split(),
        USER,
    ),
    **dict.fromkeys(
        "project project_id project_name tenant tenant_id tenant_name account_id projectid tenantid".split(), PROJECT
    ),
    **dict.fromkeys(
        "host host_name hostname host.name nodename node node_name k8s.node.name server fqdn".split(), HOST
    ),
}
_ENTITY_KINDS = ("host:", "node:", "service:", "link:")
_ENTITIES = frozenset(("entity_id", "parent_entity_ids", "source_id"))
_LABEL = re.compile(r'(?P<name>[\w.:-]{1,128})="(?P<value>(?:[^"\\]|\\.)*+)"')
#: The header of an oslo line in which nothing but its ids can be personal.
_USUAL_HEADER = re.compile(
    r"[\d-]{10}[ T][\d:.,]{8,19} \d{1,10} [A-Z]{4,8} [A-Za-z_][\w.]{0,200} (?:\[[\w -]{1,600}\] )?"
)
#: So long an id is no part of another word.
_LONG_ID = 20
_MEMO_SIZE = 50_000
#: Of a series that is remembered; longer ones are rare.
_MEMO_CHARS = 512


#: Ids with their pseudonyms.
Known = Sequence[tuple[str, str]]


class Privacy:
    """Masks by one policy.

    Args:
        kinds: of KINDS, at least one; with `host_name`, host names and entity ids as well.
        key, key_id: see `Pseudonyms`.
        fields: further names of fields, attributes and labels, each with the kind that its value is.

    Raises:
        SettingsInvalid: an unknown kind, or a key that is none.
    """

    def __init__(
        self, kinds: Collection[str], key: bytes, key_id: str = "k1", fields: Mapping[str, str] | None = None
    ) -> None:
        for kind in (*kinds, *(fields or {}).values()):
            if kind not in KINDS:
                raise SettingsInvalid(f"{kind!r} is no kind of personal data, wanted one of {', '.join(KINDS)}")
        self.pseudonyms = Pseudonyms(key, key_id)
        self.personal = PersonalData(kinds, self.pseudonyms)
        self._fields = {**_FIELDS, **{name.lower(): kind for name, kind in (fields or {}).items()}}
        self._hides_hosts = HOST in kinds
        self._origins: dict[Origin, Origin] = {}
        self._series: dict[str, str] = {}
        self._ids: dict[tuple[str, str], tuple[Known, tuple[str, ...]]] = {}

    def line(self, origin: Origin, line: ParsedLine | RawLine) -> tuple[Origin, ParsedLine | RawLine]:
        """A line of a record, or a piece of one."""
        return (self.origin(origin), self._piece(line)) if isinstance(line, RawLine) else self.parsed(origin, line)

    def parsed(self, origin: Origin, line: ParsedLine) -> tuple[Origin, ParsedLine]:
        """A line without personal data: its text, fields and ids, and the ids wherever else they stand in it."""
        masked_origin = self.origin(origin)
        known = self.ids(line.user_id, line.project_id)
        named = dict(known)
        body = self.known(line.body, known)
        if line.text == line.body:
            text = body
        elif line.text.startswith("{"):
            text = self._json(line.text, known)
        elif line.text.endswith(line.body):
            head = line.text[: len(line.text) - len(line.body)]
            is_usual = line.shape == "oslo_text" and _USUAL_HEADER.fullmatch(head) is not None
            text = (_replaced(head, known) if is_usual else self.known(head, known)) + body
        else:
            text = self.known(line.text, known)
        return masked_origin, msgspec.structs.replace(
            line, text=text, body=body, user_id=named.get(line.user_id, line.user_id),
            project_id=named.get(line.project_id, line.project_id),
            http=line.http if body == line.body else self._http(line.http, known),
            template=None if line.template is None else self.known(line.template, known),
            parameters=tuple(self.known(parameter, known) for parameter in line.parameters),
            traceback=tuple(self.known(part, known) for part in line.traceback),
            exception_message=self.known(line.exception_message, known),
            attributes=self.attributes(line.attributes),
        )  # fmt: skip

    def _piece(self, piece: RawLine) -> RawLine:
        """A piece of a line that was cut: it is saved before it can be parsed. The words at its ends may be halves of
        something; they, and ids that only their place tells, are masked when the line is whole."""
        text = piece.text
        first, last = text.find(" ") + 1, text.rfind(" ") + 1
        masked = text[:first] + self.text(text[first:last]) + text[last:] if first < last else text
        return piece._replace(text=masked, origin=self.origin(piece.origin))

    def continued(self, line: ParsedLine, folds: Iterable[Fold]) -> ParsedLine:
        """A line that does not say whose request it is of: ids that the open events of its source have are replaced.

        Args:
            line: as `parsed` gave it.
        """
        ids = {each for fold in folds for each in (fold.head.user_id, fold.head.project_id) if each}
        if line.has_context or not ids:
            return line
        body = self.personal.same_ids(line.body, ids)
        return msgspec.structs.replace(line, body=body, text=self.personal.same_ids(line.text, ids))

    def origin(self, origin: Origin) -> Origin:
        """Who shipped a line. Host names go only with a setting of their own; the file and key are texts."""
        found = self._origins.get(origin)
        if found is None:
            if self._hides_hosts:
                self.personal.learn_host(origin.host)
                self.learn(origin.entity)
            found = origin._replace(
                host=self.personal.host(origin.host), path=self.text(origin.path), app=self.text(origin.app),
                key=self.text(origin.key), entity=self.entity(origin.entity),
            )  # fmt: skip
            if len(self._origins) >= _MEMO_SIZE:
                self._origins.clear()
            self._origins[origin] = found
        return found

    def samples(self, records: Iterable[dict[str, Any]]) -> None:
        """Changes records of metrics.samples.v1."""
        for record in records:
            self.sample(record)

    def take_counts(self) -> Counter[str]:
        """How many values were replaced since the last call, by kind."""
        counts, self.pseudonyms.counts = self.pseudonyms.counts, Counter()
        return counts

    def sample(self, record: dict[str, Any]) -> None:
        """Changes a record of metrics.samples.v1: entities, job and the labels in its series' names."""
        if self._hides_hosts:
            entities = [record["entity_id"], *record["parent_entity_ids"]]
            for entity in entities:
                self.learn(entity)
            record["entity_id"], *record["parent_entity_ids"] = map(self.entity, entities)
        record["series"] = [self.series(series) for series in record["series"]]
        record["job"] = self.text(record["job"])

    def series(self, series: str) -> str:
        """A series' name `name{k="v",..}` with masked labels."""
        found = self._series.get(series)
        if found is None:
            name, brace, labels = series.partition("{")
            found = name + brace + self.text(_LABEL.sub(self._label, labels))
            if len(series) <= _MEMO_CHARS:
                if len(self._series) >= _MEMO_SIZE:
                    self._series.clear()
                self._series[series] = found
        return found

    def _label(self, found: re.Match[str]) -> str:
        kind = self._fields.get(found["name"].lower())
        if kind is None or not self.is_masked(kind):
            return found[0]
        value = self.personal.host(found["value"]) if kind == HOST else self.personal.field(kind, found["value"])
        return f'{found["name"]}="{value}"'

    def entity(self, entity_id: str) -> str:
        """An entity id whose host is a pseudonym: `service:nova-api@host-k1-..`. Pods and instances keep theirs."""
        if not self._hides_hosts:
            return entity_id
        kind, colon, name = entity_id.partition(":")
        if kind in ("host", "node"):
            return f"{kind}{colon}{self.personal.host(name)}"
        if kind == "link":
            return f"{kind}{colon}{self.personal.field(HOST, name)}"
        if kind == "service":
            program, at, host = name.rpartition("@")
            return f"{kind}{colon}{program}{at}{self.personal.host(host)}" if at else entity_id
        return entity_id

    def host(self, name: str) -> str:
        """A host's name, or an entity id that holds one."""
        return self.entity(name) if name.startswith(_ENTITY_KINDS) else self.personal.host(name)

    def text(self, text: str) -> str:
        """Any text."""
        return self.personal.text(text) if text else text

    def attributes(self, attributes: dict[str, str]) -> dict[str, str]:
        """Fields by name; the same dict when there are none."""
        if not attributes:
            return attributes
        return {name: self._named(name, value) for name, value in attributes.items()}

    def ids(self, user_id: str, project_id: str) -> Known:
        """The ids of one event with their pseudonyms; those that stay are left out."""
        found = self._ids.get((user_id, project_id))
        if found is None:
            if len(self._ids) >= _MEMO_SIZE:
                self._ids.clear()
            found = self._ids[user_id, project_id] = self._made(user_id, project_id)
        else:
            for kind in found[1]:
                self.pseudonyms.counts[kind] += 1
        return found[0]

    def _made(self, user_id: str, project_id: str) -> tuple[Known, tuple[str, ...]]:
        field = self.personal.field
        made = [(USER, user_id, field(USER, user_id)), (PROJECT, project_id, field(PROJECT, project_id))]
        changed = [(kind, old, new) for kind, old, new in made if old != new]
        return tuple((old, new) for _, old, new in changed), tuple(kind for kind, _, _ in changed)

    def value(self, value: Any, known: Known = ()) -> Any:
        """Any JSON, by the names of its fields; what is nested too deep is withheld.

        Args:
            value: without secrets already.
            known: ids that are replaced wherever they stand.
        """
        return self._inside(value, "", 0, known)

    def _inside(self, value: Any, name: str, depth: int, known: Known) -> Any:
        if isinstance(value, str):
            return self._named(name, _replaced(value, known))
        if isinstance(value, dict | list | tuple) and depth >= MAX_JSON_DEPTH:
            return TOO_DEEP
        if isinstance(value, dict):
            beside = value.get("key", value.get("name"))
            outer = beside if isinstance(beside, str) and "value" in value else name
            return {
                self._key(key): self._inside(item, self.name_in(outer, str(key)), depth + 1, known)
                for key, item in value.items()
            }
        if isinstance(value, list | tuple):
            return [self._inside(item, name, depth + 1, known) for item in value]
        return value

    def _key(self, key: Any) -> Any:
        """Keys may be data too: counts by address."""
        return self.text(key) if isinstance(key, str) else key

    def _named(self, name: str, value: str) -> str:
        lowered = name.lower()
        if lowered in _ENTITIES:
            return self._identity(lowered, value)
        if lowered == "series":
            return self.series(value)
        kind = self._fields.get(lowered)
        if kind == HOST and " " not in value:
            return self.host(value)
        if kind is not None and value and self.is_masked(kind):
            return self.personal.field(kind, value)
        return self.text(value)

    def is_masked(self, kind: str) -> bool:
        """Whether this kind is replaced."""
        return kind in self.personal.kinds

    def _identity(self, name: str, value: str) -> str:
        if name == "source_id":
            host, bar, path = value.partition("|")
            return f"{self.personal.host(host)}{bar}{self.text(path)}"
        return self.entity(value)

    def learn(self, entity_id: str) -> None:
        """Remembers the host in an entity id, so that it is found in texts."""
        kind, _, name = entity_id.partition(":")
        if kind in ("host", "node"):
            self.personal.learn_host(name)
        elif kind == "service":
            self.personal.learn_host(name.rpartition("@")[2])

    def _http(self, http: HttpAccess | None, known: Known) -> HttpAccess | None:
        return None if http is None else msgspec.structs.replace(http, target=self.known(http.target, known))

    def known(self, text: str, known: Known) -> str:
        """The text with the ids of its own event replaced, then everything else."""
        return self.text(_replaced(text, known))

    def _json(self, text: str, known: Known) -> str:
        """A JSON record as text: read, masked and written again, so that escapes hide nothing; else as it was."""
        try:
            record = orjson.loads(text)
        except orjson.JSONDecodeError:
            return self.known(text, known)
        masked = self.value(record, known)
        return text if masked == record else orjson.dumps(masked).decode()

    def name_in(self, outer: str, name: str) -> str:
        """Which name counts for a field in an object: `user` in `{"user": {"id": ..}}`."""
        return outer if name in _NAMELESS and self.kind_of(outer) else name

    def kind_of(self, name: str) -> str | None:
        """The kind that the whole value of a field with this name is; None for any other field."""
        return self._fields.get(name.lower())


def _replaced(text: str, known: Known) -> str:
    for old, new in known:
        if old in text:
            text = text.replace(old, new) if len(old) >= _LONG_ID else _word(old).sub(new, text)
    return text


def make_privacy(settings: IngestSettings) -> Privacy | None:
    """What the settings want masked; None for nothing.

    Raises:
        SettingsInvalid: something shall be masked, and the key is too short.
    """
    kinds = [*settings.mask_personal, *([HOST] if settings.mask_hosts else [])]
    if not kinds:
        return None
    key = settings.mask_key.get_secret_value().encode()
    return Privacy(kinds, key, settings.mask_key_id, settings.mask_fields)


@lru_cache(4096)
def _word(value: str) -> re.Pattern[str]:
    """The value as a word of its own: a user `nova` is not the `nova` of nova.compute."""
    return re.compile(rf"(?<![\w./-]){re.escape(value)}(?!\.?[\w/-])")
