"""The template miner: a log message to its template's id and its parameters.

Most lines take the quick way: split, mask each token by a memo, join, look up. The rest goes to a tree of Drain's
family, with one difference. Words without digits are constants at first, so that `VM Paused` and `VM Resumed` stay two
templates; a position becomes `<*>` when more than MAX_VARIANTS templates differ in it alone, and when a leaf is crowded
similar ones are merged as Drain does.

A template's id is the hash of its first form and stays when it is generalised. Templates that become the same text are
aliases of the one with the smallest id. What the miner knows is exactly what logs.templates.v1 holds: `load` takes
those records in any order and as often as one likes, and the memos give what a fresh search would give.
Entities play no part: the same text has the same id everywhere.
"""

from collections.abc import Mapping, Sequence
from functools import reduce
from typing import Any

from services.ingest.core.templates import printf_template
from services.ingest.model.extraction import Extract, extractor
from services.ingest.model.former import FORMER_VERSION, FormerTemplates
from services.ingest.model.forms import generalise, is_name_place, key_of, tokens_of
from services.ingest.model.index import TemplateIndex
from services.ingest.model.masking import MAX_TOKEN_CHARS, WILDCARD, mask_token
from services.ingest.model.templates import Aliases, Template, similarity, template_id_of

MINER_VERSION = "drain-2"
#: Of records that the former miner made and whose ids this one has given aliases.
_SUCCEEDED = f"{FORMER_VERSION}>{MINER_VERSION}"
#: Words of a message that are looked at; the rest is one `<*>`.
MAX_TOKENS = 64
#: More templates than this that differ in one position only, and the position is a variable. HTTP has nine methods.
MAX_VARIANTS = 10
#: The same where names stand (`for root from ..`).
MAX_NAMES = 2
#: So many words must stay constant when a position becomes a variable.
MIN_CONSTANTS = 2
#: From this size on a leaf takes a new template only when no other is similar enough; at the limit none at all.
CROWDED_LEAF = 48
FULL_LEAF = 192
MIN_SIMILARITY = 0.5
_TOKEN_MEMO_SIZE = 25_000
_LONG_NUMBER = 5
_LINE_MEMO_CHARS = 8_000_000

Words = Sequence[str]
#: The masked words of a line.
Masked = tuple[str, ...]
#: (template id, parameters): a plain tuple, since one is made for every line.
Mined = tuple[str, list[str]]


class _TokenMemo(dict[str, str]):
    """Token to masked token; bounded. Long numbers are not worth remembering: they are many, and quickly masked."""

    def __missing__(self, token: str) -> str:
        if token.replace(".", "").isdigit() and token[-1] != ".":
            if len(token) < _LONG_NUMBER:
                self[token] = WILDCARD
            return WILDCARD
        masked = mask_token(token)
        if len(token) <= MAX_TOKEN_CHARS:
            if len(self) >= _TOKEN_MEMO_SIZE:
                self.clear()
            self[token] = masked
        return masked


class Miner:
    """Learns templates line by line.

    Args:
        max_templates: beyond it, unseen forms get the template `<*>` unless a similar one is in their leaf.
        cluster: for the records.
    """

    def __init__(self, max_templates: int = 20_000, cluster: str = "default") -> None:
        self._max_templates = max_templates
        self._cluster = cluster
        self._templates: dict[str, Template] = {}
        self._by_form: dict[str, str] = {}
        self._by_key: dict[str, str] = {}
        self._aliases = Aliases()
        self._index = TemplateIndex()
        self._changed: dict[str, None] = {}
        self._mask = _TokenMemo().__getitem__
        self._lines: dict[Masked, tuple[str, Extract]] = {}
        self._lines_of: dict[str, list[Masked]] = {}
        self._given: dict[str, str] = {}
        self._former = FormerTemplates(max_templates)
        self._former_aliases: dict[str, str] = {}
        self._line_chars = 0

    def __len__(self) -> int:
        return len(self._templates)

    def mine(self, message: str, event_time: int) -> Mined:
        """The template of a message of one line, learnt when it is new."""
        words = message.split(None, MAX_TOKENS)
        masked = tuple(map(self._mask, words))
        if len(words) > MAX_TOKENS:
            masked = (*masked[:MAX_TOKENS], WILDCARD)
        known = self._lines.get(masked)
        if known is None:
            known = self._remember(masked, words, event_time)
        template_id, parameters_of = known
        return template_id, parameters_of(words)

    def given(self, template: str, event_time: int) -> str:
        """The id of a template that the program itself gave, printf-style: its placeholders become `<*>`."""
        found = self._given.get(template)
        if found is None:
            found = self._remember_given(template, event_time)
        return found

    def load(self, record: Mapping[str, Any]) -> None:
        """Takes a record of logs.templates.v1, of this miner or of the one before it; others are left alone."""
        version = record["miner_version"]
        if version == MINER_VERSION:
            self._load_own(record)
        elif version in (FORMER_VERSION, _SUCCEEDED) and record["template_id"] not in self._templates:
            self._load_former(record)

    def _load_own(self, record: Mapping[str, Any]) -> None:
        template_id = record["template_id"]
        template = self._templates.get(template_id)
        tokens = tuple(record["text"].split())
        for alias in filter(None, [record["alias_of"], *record["aliases"]]):
            self._link(template_id, alias)
        if template is None:
            self._insert(Template(template_id, record["first_form"], tokens, record["first_seen"]))
            self._forget_lines()
        else:
            self._join(template, tokens, record["first_seen"])
        if all(record[field] == value for field, value in self.record(template_id).items()):
            self._changed.pop(template_id, None)  # it is published already

    def _load_former(self, record: Mapping[str, Any]) -> None:
        template_id = record["template_id"]
        self._former.add(record)
        if record["miner_version"] == _SUCCEEDED:
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

    def root(self, template_id: str) -> str:
        """The id of the template that stands for this one now."""
        return self._aliases.root(template_id)

    def take_changes(self) -> list[dict[str, Any]]:
        """The records of what is new or changed since the last call; publish them with the events that use them."""
        records = [self.record(template_id) for template_id in self._changed]
        self._changed.clear()
        return records

    def record(self, template_id: str) -> dict[str, Any]:
        """A template as logs.templates.v1 holds it."""
        if template_id not in self._templates:
            alias_of = self._former_aliases[template_id]
            return {**self._former.record(template_id), "miner_version": _SUCCEEDED, "alias_of": alias_of}
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

    def _remember(self, masked: Masked, words: Words, event_time: int) -> tuple[str, Extract]:
        form = tokens_of(masked)
        template = self._find(form.tokens, event_time)
        if self._former:
            self._succeed(self._former.identify(words), template.template_id)
        if len(template.tokens) == len(form.tokens):
            known = template.template_id, extractor(template.tokens, form.spans)
        else:  # the template of everything, beyond max_templates
            known = template.template_id, extractor((WILDCARD,), ((0, MAX_TOKENS + 1),))
        self._line_chars += sum(map(len, masked)) + 100
        if self._line_chars > _LINE_MEMO_CHARS:
            self._forget_lines()
        self._lines[masked] = known
        self._lines_of.setdefault(known[0], []).append(masked)
        return known

    def _remember_given(self, template: str, event_time: int) -> str:
        tokens = tuple(printf_template(template).split()[:MAX_TOKENS])
        form = " ".join(key_of(tokens))
        found = self._by_form.get(form) or self._by_key.get(form)
        if found is not None:
            template_id = self._absorb(self._root(found), tokens).template_id
        elif len(self._templates) >= self._max_templates:
            template_id = self._overflow(event_time).template_id
        else:
            template_id = self._create(form, tokens, event_time).template_id
        self._line_chars += len(template) + 100
        if self._line_chars > _LINE_MEMO_CHARS:
            self._forget_lines()
        self._given[template] = template_id
        return template_id

    def _find(self, tokens: Words, event_time: int) -> Template:
        """What the templates alone say, without memos; so it is the same after a restart."""
        key = key_of(tokens)
        text = " ".join(key)
        found = self._by_form.get(text) or self._by_key.get(text)
        root = self._templates.get(self._aliases.root(found)) if found is not None else None
        if root is None:
            root = self._index.match(tokens, key)
        if root is not None:
            return self._absorb(root, tokens)
        crowd = self._index.leaf(key)
        if len(crowd) >= CROWDED_LEAF or len(self._templates) >= self._max_templates:
            return self._squeeze(crowd, text, tokens, event_time)
        return self._collapse_families(self._create(text, tuple(tokens), event_time))

    def _absorb(self, template: Template, tokens: Words) -> Template:
        """Makes the template's text stand for the line too."""
        if len(template.tokens) != len(tokens):
            return template  # the template of everything
        text = generalise(template.tokens, tokens)
        return template if text == template.tokens else self._rewrite(template, text)

    def _squeeze(self, crowd: dict[str, Template], text: str, tokens: Words, event_time: int) -> Template:
        """Merges into the most similar template of a crowded leaf; a new template where there is room and need."""
        ranked = ((-similarity(other.tokens, tokens), other.template_id) for other in crowd.values())
        distance, best = min(ranked, default=(0.0, ""))
        if -distance >= MIN_SIMILARITY:
            return self._absorb(self._templates[best], tokens)
        if len(crowd) < FULL_LEAF and len(self._templates) < self._max_templates:
            return self._create(text, tuple(tokens), event_time)
        return self._overflow(event_time)

    def _overflow(self, event_time: int) -> Template:
        found = self._templates.get(self._by_form.get(WILDCARD, ""))
        return found or self._create(WILDCARD, (WILDCARD,), event_time)

    def _collapse_families(self, template: Template) -> Template:
        """Makes a position of `template` a variable when too many others differ from it only there."""
        if template.num_constants <= MIN_CONSTANTS:
            return template
        for position, ids in self._index.families(template.key):
            if len(ids) > (MAX_NAMES if is_name_place(template.key, position) else MAX_VARIANTS):
                return self._collapse(position, sorted(ids), template.key)
        return template

    def _collapse(self, position: int, ids: list[str], key: tuple[str, ...]) -> Template:
        """All these become one template; a hash collision's stranger keeps its own."""
        members = [self._templates[each] for each in ids]
        members = [member for member in members if _differ_only_at(position, member.key, key)]
        text = reduce(generalise, (member.tokens for member in members))
        for member in members:
            root = self._rewrite(member, text)
        return root

    def _create(self, form: str, tokens: tuple[str, ...], event_time: int) -> Template:
        """A new template. It answers for its own form only, so what is remembered of other lines stays right."""
        template = Template(template_id_of(form), form, tokens, event_time)
        self._insert(template)
        self._changed[template.template_id] = None
        return self._templates[self._aliases.root(template.template_id)]

    def _insert(self, template: Template) -> None:
        """Takes a template; what its aliases stand for, and what it stands for as an alias, its root stands for too."""
        template_id = template.template_id
        self._templates[template_id] = template
        self._by_form[template.first_form] = template_id
        root = self._aliases.root(template_id)
        if root == template_id:
            self._publish_key(template)
            for alias in self._aliases.of(template_id):
                if alias in self._templates:
                    self._absorb(self._root(template_id), self._templates[alias].tokens)
        elif root in self._templates:
            self._absorb(self._templates[root], template.tokens)

    def _root(self, template_id: str) -> Template:
        return self._templates[self._aliases.root(template_id)]

    def _join(self, template: Template, tokens: tuple[str, ...], first_seen: int) -> None:
        """Takes over what another replica knows of the same template: the more general text, the earlier time."""
        template.first_seen = min(template.first_seen, first_seen)
        self._absorb(template, tokens)
        root = self._templates.get(self._aliases.root(template.template_id))
        if root is not None:
            self._absorb(root, template.tokens)

    def _rewrite(self, template: Template, tokens: tuple[str, ...]) -> Template:
        """Gives a template a more general text; returns the template that now stands for it."""
        self._changed[template.template_id] = None
        key = key_of(tokens)
        if key == template.key and not template.is_general:  # found by the same lines as before, and by no others
            template.tokens = tokens
            for line in self._lines_of.pop(template.template_id, ()):
                self._lines.pop(line, None)
            return template
        is_root = self._aliases.root(template.template_id) == template.template_id
        if is_root:
            self._withdraw_key(template)
        template.tokens, template.key = tokens, key
        if is_root:
            self._publish_key(template)
        self._forget_lines()
        return self._root(template.template_id) if is_root else template

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
        self._forget_lines()
        if alias in self._templates:
            self._withdraw_key(self._templates[alias])
        if root in self._templates:
            self._by_key.setdefault(self._templates[root].key_text, root)
            if alias in self._templates:
                self._absorb(self._templates[root], self._templates[alias].tokens)

    def _forget_lines(self) -> None:
        self._lines.clear()
        self._lines_of.clear()
        self._given.clear()
        self._line_chars = 0


def _differ_only_at(position: int, one: Words, other: Words) -> bool:
    return one[:position] == other[:position] and one[position + 1 :] == other[position + 1 :]
