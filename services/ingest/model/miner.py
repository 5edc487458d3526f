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

import re
from collections.abc import Callable, Mapping, Sequence
from operator import itemgetter
from typing import Any, NamedTuple

from services.ingest.model.index import TemplateIndex
from services.ingest.model.masking import MAX_TOKEN_CHARS, WILDCARD, mask_token
from services.ingest.model.templates import Aliases, Template, generalise, similarity, template_id_of

MINER_VERSION = "drain-1"
#: Words of a message that are looked at; the rest is one `<*>`.
MAX_TOKENS = 64
#: More templates than this that differ in one position only, and the position is a variable. HTTP has nine methods.
MAX_VARIANTS = 10
#: So many words must stay constant when a position becomes a variable.
MIN_CONSTANTS = 2
#: From this size on a leaf takes a new template only when no other is similar enough; at the limit none at all.
CROWDED_LEAF = 48
FULL_LEAF = 192
MIN_SIMILARITY = 0.5
#: Of a template that a program gives, this much counts.
MAX_GIVEN_CHARS = 8192
_TOKEN_MEMO_SIZE = 100_000
_LINE_MEMO_CHARS = 8_000_000
_PLACEHOLDER = re.compile(r"%(?:\([^()\s]{1,64}\))?[#0\- +]{0,4}(?:\d{1,4}|\*)?(?:\.(?:\d{1,4}|\*))?[diouxXeEfFgGcrsa]")

Words = Sequence[str]
#: (template id, parameters): a plain tuple, since one is made for every line.
Mined = tuple[str, list[str]]


class _Known(NamedTuple):
    """What a masked line leads to: which words are variable, and of which of these only a part is.

    `trims` holds (parameter, first character, last character).
    """

    template_id: str
    variable_words: Callable[[Words], Words]
    trims: tuple[tuple[int, int, int | None], ...]


class _TokenMemo(dict[str, str]):
    """Token to masked token; bounded."""

    def __missing__(self, token: str) -> str:
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
        self._by_text: dict[str, str] = {}
        self._aliases = Aliases()
        self._index = TemplateIndex()
        self._changed: dict[str, None] = {}
        self._tokens = _TokenMemo()
        self._lines: dict[str, _Known] = {}
        self._line_chars = 0

    def __len__(self) -> int:
        return len(self._templates)

    def mine(self, message: str, event_time: int) -> Mined:
        """The template of a message of one line, learnt when it is new."""
        words = message.split(None, MAX_TOKENS)
        masked = list(map(self._tokens.__getitem__, words))
        if len(words) > MAX_TOKENS:
            masked[MAX_TOKENS] = WILDCARD
        line = " ".join(masked)
        known = self._lines.get(line)
        if known is None:
            known = self._remember(line, masked, event_time)
        template_id, variable_words, trims = known
        parameters = [*variable_words(words)]
        for at, start, end in trims:
            parameters[at] = parameters[at][start:end]
        return template_id, parameters

    def given(self, template: str, event_time: int) -> str:
        """The id of a template that the program itself gave, printf-style: its placeholders become `<*>`."""
        text = " ".join(
            _PLACEHOLDER.sub(WILDCARD, template[:MAX_GIVEN_CHARS])
            .replace("%%", "%")
            .split(None, MAX_TOKENS)[:MAX_TOKENS]
        )
        found = self._by_form.get(text) or self._by_text.get(text)
        if found is not None:
            return self._aliases.root(found)
        if len(self._templates) >= self._max_templates:
            return self._overflow(event_time).template_id
        self._forget_lines()
        return self._create(text, tuple(text.split()), event_time).template_id

    def load(self, record: Mapping[str, Any]) -> None:
        """Takes a record of logs.templates.v1 of this miner's version; others are not its own and are left alone."""
        if record["miner_version"] != MINER_VERSION:
            return
        template = self._templates.get(record["template_id"])
        tokens = tuple(record["text"].split())
        if template is None:
            self._insert(Template(record["template_id"], record["first_form"], tokens, record["first_seen"]))
            self._forget_lines()
        else:
            self._join(template, tokens, record["first_seen"])
        for alias in filter(None, [record["alias_of"], *record["aliases"]]):
            self._link(record["template_id"], alias)
        if all(record[field] == value for field, value in self.record(record["template_id"]).items()):
            self._changed.pop(record["template_id"], None)  # it is published already

    def take_changes(self) -> list[dict[str, Any]]:
        """The records of what is new or changed since the last call; publish them with the events that use them."""
        records = [self.record(template_id) for template_id in self._changed]
        self._changed.clear()
        return records

    def record(self, template_id: str) -> dict[str, Any]:
        """A template as logs.templates.v1 holds it."""
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

    def _remember(self, line: str, masked: list[str], event_time: int) -> _Known:
        known = _known(self._find(line, masked, event_time), masked)
        self._line_chars += len(line) + 100
        if self._line_chars > _LINE_MEMO_CHARS:
            self._forget_lines()
        self._lines[line] = known
        return known

    def _find(self, line: str, masked: list[str], event_time: int) -> Template:
        """What the templates alone say, without memos; so it is the same after a restart."""
        found = self._by_form.get(line) or self._by_text.get(line)
        if found is not None:
            root = self._templates.get(self._aliases.root(found))
            if root is not None:
                return root
        general = self._index.match(masked)
        if general is not None:
            return general
        crowd = self._index.leaf(masked)
        if len(crowd) >= CROWDED_LEAF or len(self._templates) >= self._max_templates:
            return self._squeeze(crowd, line, masked, event_time)
        template = self._create(line, tuple(masked), event_time)
        return self._collapse_families(template)

    def _squeeze(self, crowd: dict[str, Template], line: str, masked: list[str], event_time: int) -> Template:
        """Merges into the most similar template of a crowded leaf; a new template where there is room and need."""
        ranked = ((-similarity(other.tokens, masked), other.template_id) for other in crowd.values())
        distance, best = min(ranked, default=(0.0, ""))
        if -distance >= MIN_SIMILARITY:
            return self._rewrite(self._templates[best], generalise(self._templates[best].tokens, masked))
        if len(crowd) < FULL_LEAF and len(self._templates) < self._max_templates:
            return self._create(line, tuple(masked), event_time)
        return self._overflow(event_time)

    def _overflow(self, event_time: int) -> Template:
        found = self._templates.get(self._by_form.get(WILDCARD, ""))
        return found or self._create(WILDCARD, (WILDCARD,), event_time)

    def _collapse_families(self, template: Template) -> Template:
        """Makes a position of `template` a variable when too many others differ from it only there."""
        for position, token in enumerate(template.tokens):
            if token == WILDCARD or template.num_constants <= MIN_CONSTANTS:
                continue
            ids = self._index.family(template.tokens, position)
            if len(ids) > MAX_VARIANTS:
                text = (*template.tokens[:position], WILDCARD, *template.tokens[position + 1 :])
                return self._collapse(sorted(ids), text)
        return template

    def _collapse(self, ids: list[str], text: tuple[str, ...]) -> Template:
        """All these become one template with this text; a hash collision's stranger keeps its own."""
        members = [self._templates[each] for each in ids]
        members = [member for member in members if generalise(member.tokens, text) == text]
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
        self._templates[template.template_id] = template
        self._by_form[template.first_form] = template.template_id
        if self._aliases.root(template.template_id) == template.template_id:
            self._publish_text(template)

    def _join(self, template: Template, tokens: tuple[str, ...], first_seen: int) -> None:
        """Takes over what another replica knows of the same template: the more general text, the earlier time."""
        template.first_seen = min(template.first_seen, first_seen)
        if tokens == template.tokens or len(tokens) != len(template.tokens):
            return
        joined = generalise(template.tokens, tokens)
        if joined == template.tokens:
            return
        self._rewrite(template, joined)

    def _rewrite(self, template: Template, tokens: tuple[str, ...]) -> Template:
        """Gives a template a more general text; returns the template that now stands for it."""
        is_root = self._aliases.root(template.template_id) == template.template_id
        if is_root:
            self._withdraw_text(template)
        template.tokens = tokens
        self._changed[template.template_id] = None
        if is_root:
            self._publish_text(template)
        self._forget_lines()
        return self._templates[self._aliases.root(template.template_id)]

    def _publish_text(self, template: Template) -> None:
        """Makes the template findable; one with the same text becomes the same."""
        twin = self._by_text.setdefault(template.text, template.template_id)
        self._index.add(template)
        if twin != template.template_id:
            self._link(twin, template.template_id)

    def _withdraw_text(self, template: Template) -> None:
        self._index.remove(template)
        if self._by_text.get(template.text) == template.template_id:
            del self._by_text[template.text]

    def _link(self, one: str, other: str) -> None:
        roots = (self._aliases.root(one), self._aliases.root(other))
        if not self._aliases.link(one, other):
            return
        root, alias = sorted(roots)
        for template_id in (root, alias):
            if template_id in self._templates:
                self._changed[template_id] = None
        if alias in self._templates:
            template = self._templates[alias]
            self._withdraw_text(template)
        if root in self._templates:
            self._by_text.setdefault(self._templates[root].text, root)
        self._forget_lines()

    def _forget_lines(self) -> None:
        self._lines.clear()
        self._line_chars = 0


def _known(template: Template, masked: Words) -> _Known:
    """Where the variable parts of lines with this masked form are."""
    if len(template.tokens) != len(masked):  # the template of everything, beyond max_templates
        return _Known(template.template_id, _picker(range(len(masked))), ())
    words: list[int] = []
    trims: list[tuple[int, int, int | None]] = []
    for at, (constant, token) in enumerate(zip(template.tokens, masked, strict=True)):
        if WILDCARD not in token and constant != WILDCARD:
            continue
        before, _, after = token.partition(WILDCARD)
        if WILDCARD in token and (before or after):
            trims.append((len(words), len(before), -len(after) if after else None))
        words.append(at)
    return _Known(template.template_id, _picker(words), tuple(trims))


def _picker(positions: Sequence[int]) -> Callable[[Words], Words]:
    """Takes the words at these positions; in C where there are two or more."""
    if len(positions) > 1:
        return itemgetter(*positions)
    return lambda words: [words[at] for at in positions]
