"""Everything that is known of templates: exactly what logs.templates.v1 holds, found by key.

Records are taken in any order and as often as one likes; replicas that have read each other's agree. Templates that
become the same are aliases of the one with the smallest id, whose text stands for all that theirs stood for.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from typing import Any

from services.ingest.model.former import FORMER_VERSION, FormerTemplates
from services.ingest.model.forms import generalise, key_of
from services.ingest.model.index import TemplateIndex
from services.ingest.model.templates import Aliases, Template, template_id_of

MINER_VERSION = "drain-2"
#: Of records that the former miner made and whose ids this one has given aliases.
SUCCEEDED = f"{FORMER_VERSION}>{MINER_VERSION}"
#: What a template of 24 words of eight letters is counted as: about 6 kB of memory, twice what clouds' templates take.
_USUAL_SIZE = 2048
#: A word is found by its place, too, which costs as much as so many letters.
_WORD_SIZE = 64


class TemplateBook:
    """Templates, their aliases, and the ids that the former miner gave.

    Args:
        max_templates: of the former miner's so many are kept; for its own, whoever creates asks `is_full`.
        cluster: for the records.
        forget: told whose lines may have another answer now: one template's, or with None anybody's.
    """

    def __init__(self, max_templates: int, cluster: str, forget: Callable[[str | None], None]) -> None:
        self._max_templates = max_templates
        self._cluster = cluster
        self._forget = forget
        self._templates: dict[str, Template] = {}
        self._by_form: dict[str, str] = {}
        self._by_key: dict[str, str] = {}
        self._aliases = Aliases()
        self._index = TemplateIndex()
        self._changed: dict[str, None] = {}
        self._former = FormerTemplates(max_templates)
        self._size = 0
        self._former_aliases: dict[str, str] = {}

    def __len__(self) -> int:
        return len(self._templates)

    @property
    def is_full(self) -> bool:
        """There are as many as there may be, or they are as large as so many of the usual size."""
        return len(self._templates) >= self._max_templates or self._size >= self._max_templates * _USUAL_SIZE

    def get(self, template_id: str) -> Template:
        """The template with this very id."""
        return self._templates[template_id]

    def root(self, template_id: str) -> str:
        """The id of the template that stands for this one now."""
        return self._aliases.root(template_id)

    def find(self, key_text: str) -> Template | None:
        """The template with this first form or this key, or what stands for it now."""
        found = self._by_form.get(key_text) or self._by_key.get(key_text)
        return self._root(found) if found is not None else None

    def match(self, tokens: Sequence[str], key: Sequence[str]) -> Template | None:
        """The most special generalised template that matches."""
        return self._index.match(tokens, key)

    def leaf(self, key: Sequence[str]) -> Mapping[str, Template]:
        """The templates of as many words and with the same first ones."""
        return self._index.leaf(key)

    def families(self, key: Sequence[str]) -> Iterator[tuple[int, Set[str]]]:
        """Of every constant position the ids of the templates that differ there only (or collide by hash)."""
        return self._index.families(key)

    def beside(self, key: Sequence[str]) -> Iterator[tuple[int, Set[str]]]:
        """Of every position that is `<*>` the ids of the templates that have a word there (or collide by hash)."""
        return self._index.beside(key)

    def succeed_former(self, words: Sequence[str], template_id: str) -> None:
        """Gives the id that the former miner had for a line of these words an alias."""
        if self._former:
            self._succeed(self._former.identify(words), template_id)

    def create(self, form: str, tokens: tuple[str, ...], event_time: int) -> Template:
        """A new template. It answers for its own form only, so what is remembered of other lines stays right."""
        template = Template(template_id_of(form), form, tokens, event_time)
        self._insert(template)
        self._changed[template.template_id] = None
        return self._root(template.template_id)

    def absorb(self, template: Template, tokens: Sequence[str]) -> Template:
        """Makes the template's text stand for the line too."""
        if len(template.tokens) != len(tokens):
            return template  # the template of everything
        text = generalise(template.tokens, tokens)
        return template if text == template.tokens else self.rewrite(template, text)

    def rewrite(self, template: Template, tokens: tuple[str, ...]) -> Template:
        """Gives a template a more general text; returns the template that now stands for it."""
        self._changed[template.template_id] = None
        key = key_of(tokens)
        if key == template.key and not template.is_general:  # found by the same lines as before, and by no others
            template.tokens = tokens
            self._forget(template.template_id)
            return self._root(template.template_id)
        is_root = self._aliases.root(template.template_id) == template.template_id
        if is_root:
            self._withdraw_key(template)
        template.tokens, template.key = tokens, key
        if is_root:
            self._publish_key(template)
        self._forget(None)
        return self._root(template.template_id) if is_root else template

    def load(self, record: Mapping[str, Any]) -> None:
        """Takes a record of logs.templates.v1, of this miner or of the one before it; others are left alone."""
        version = record["miner_version"]
        if version == MINER_VERSION:
            self._load_own(record)
        elif version in (FORMER_VERSION, SUCCEEDED) and record["template_id"] not in self._templates:
            self._load_former(record)

    def _load_own(self, record: Mapping[str, Any]) -> None:
        template_id = record["template_id"]
        template = self._templates.get(template_id)
        tokens = tuple(record["text"].split())
        for alias in filter(None, [record["alias_of"], *record["aliases"]]):
            self._link(template_id, alias)
        if template is None:
            self._insert(Template(template_id, record["first_form"], tokens, record["first_seen"]))
            self._forget(None)
        else:
            self._join(template, tokens, record["first_seen"])
        if all(record[field] == value for field, value in self.record(template_id).items()):
            self._changed.pop(template_id, None)  # it is published already

    def _load_former(self, record: Mapping[str, Any]) -> None:
        template_id = record["template_id"]
        self._former.add(record)
        if record["miner_version"] == SUCCEEDED:
            self._succeed(template_id, record["alias_of"])
        if template_id in self._former_aliases:
            self._changed[template_id] = None
            if all(record[field] == value for field, value in self.record(template_id).items()):
                del self._changed[template_id]

    def _succeed(self, former_id: str | None, template_id: str) -> None:
        """Makes an id of the former miner an alias; of several templates that it became the smallest id has it."""
        if former_id is None or former_id in self._templates:
            return
        known = self._former_aliases.get(former_id)
        if known is None or template_id < known:
            self._former_aliases[former_id] = template_id
            self._changed[former_id] = None

    def take_changes(self) -> list[dict[str, Any]]:
        """The records of what is new or changed since the last call; publish them with the events that use them."""
        records = [self.record(template_id) for template_id in self._changed]
        self._changed.clear()
        return records

    def record(self, template_id: str) -> dict[str, Any]:
        """A template as logs.templates.v1 holds it."""
        if template_id not in self._templates:
            alias_of = self._former_aliases[template_id]
            return {**self._former.record(template_id), "miner_version": SUCCEEDED, "alias_of": alias_of}
        template, root = self._templates[template_id], self._aliases.root(template_id)
        return {
            "template_id": template_id, "text": template.text, "first_form": template.first_form,
            "first_seen": template.first_seen, "miner_version": MINER_VERSION,
            "alias_of": root if root != template_id else None, "aliases": self._aliases.of(template_id),
            "cluster": self._cluster,
        }  # fmt: skip

    def records(self) -> list[dict[str, Any]]:
        """All templates, by id."""
        return [self.record(template_id) for template_id in sorted(self._templates)]

    def _insert(self, template: Template) -> None:
        """Takes a template; what its aliases stand for, and what it stands for as an alias, its root stands for too."""
        template_id = template.template_id
        self._templates[template_id] = template
        self._size += _size_of(template)
        self._by_form[template.first_form] = template_id
        root = self._aliases.root(template_id)
        if root == template_id:
            self._publish_key(template)
            for alias in self._aliases.of(template_id):
                if alias in self._templates:
                    self.absorb(self._root(template_id), self._templates[alias].tokens)
        elif root in self._templates:
            self.absorb(self._templates[root], template.tokens)

    def _root(self, template_id: str) -> Template:
        """What stands for a template; itself while the record of its root is still to come."""
        return self._templates.get(self._aliases.root(template_id)) or self._templates[template_id]

    def _join(self, template: Template, tokens: tuple[str, ...], first_seen: int) -> None:
        """Takes over what another replica knows of the same template: the more general text, the earlier time."""
        template.first_seen = min(template.first_seen, first_seen)
        self.absorb(template, tokens)
        root = self._templates.get(self._aliases.root(template.template_id))
        if root is not None:
            self.absorb(root, template.tokens)

    def _publish_key(self, template: Template) -> None:
        """Makes the template findable; one with the same key becomes the same."""
        twin = self._by_key.setdefault(template.key_text, template.template_id)
        self._index.add(template)
        if twin != template.template_id:
            self._link(twin, template.template_id)

    def _withdraw_key(self, template: Template) -> None:
        self._index.remove(template)
        if self._by_key.get(template.key_text) == template.template_id:
            del self._by_key[template.key_text]

    def _link(self, one: str, other: str) -> None:
        roots = (self._aliases.root(one), self._aliases.root(other))
        if not self._aliases.link(one, other):
            return
        root, alias = sorted(roots)
        for template_id in (root, alias):
            if template_id in self._templates:
                self._changed[template_id] = None
        self._forget(None)
        if alias in self._templates:
            self._withdraw_key(self._templates[alias])
        if root in self._templates:
            self._by_key.setdefault(self._templates[root].key_text, root)
            if alias in self._templates:
                self.absorb(self._templates[root], self._templates[alias].tokens)


def _size_of(template: Template) -> int:
    form = template.first_form
    return len(form) * (1 if form.isascii() else 4) + len(template.tokens) * _WORD_SIZE
