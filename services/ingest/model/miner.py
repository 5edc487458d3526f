"""The template miner: a log message to its template's id and its parameters.

Most lines take the quick way: split, mask each token by a memo, look the masked words up. What is new goes to a tree of
Drain's family, with three differences.

- What is looked for is a line's key (`forms.py`): words that are one value together are one word, and words that look
  like values though they have no digit, such as `user=root` or a host's name, are left out. A template's text keeps
  such a word until another is seen in its place.
- Other words are constants at first, so that `VM Paused` and `VM Resumed` stay two templates; a position becomes `<*>`
  when more than MAX_VARIANTS templates differ in it alone, MAX_NAMES where a name stands.
- When a leaf is crowded similar templates are merged as Drain does, so that hostile lines have an end.

A template's id is the hash of its first form, its first line's key, and stays when it is generalised. Templates that
become the same are aliases of the one with the smallest id. What the miner knows is exactly what logs.templates.v1
holds (`book.py`), and the memos give what a fresh search would give. The former miner's ids become aliases
(`former.py`).
Entities play no part: the same text has the same id everywhere. How good it is: docs/benchmarks/mining.md.

Sources: He et al., Drain: an online log parsing approach with fixed depth tree, ICWS 2017.
"""

from collections.abc import Mapping, Sequence
from functools import reduce
from sys import getsizeof
from typing import Any

from services.ingest.core.templates import printf_template
from services.ingest.model.book import MINER_VERSION as MINER_VERSION
from services.ingest.model.book import TemplateBook
from services.ingest.model.extraction import Extract, extractor
from services.ingest.model.forms import generalise, is_name_place, key_of, tokens_of
from services.ingest.model.masking import MAX_TOKEN_CHARS, WILDCARD, mask_token
from services.ingest.model.templates import Template, similarity

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
#: Bytes, roughly, if no two lines share a word.
_LINE_MEMO_SIZE = 32_000_000
_LINE_SIZE = 400

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
        self._book = TemplateBook(max_templates, cluster, self._forget)
        self._mask = _TokenMemo().__getitem__
        self._lines: dict[Masked, tuple[str, Extract]] = {}
        self._lines_of: dict[str, list[Masked]] = {}
        self._given: dict[str, str] = {}
        self._memo_size = 0

    def __len__(self) -> int:
        return len(self._book)

    def mine(self, message: str, event_time: int) -> Mined:
        """The template of a message of one line, learnt when it is new."""
        words = message.split(None, MAX_TOKENS)
        masked = tuple(map(self._mask, words))
        if len(words) > MAX_TOKENS:
            masked = (*masked[:MAX_TOKENS], WILDCARD)
        template_id, parameters_of = self._lines.get(masked) or self._remember(masked, words, event_time)
        return template_id, parameters_of(words)

    def given(self, template: str, event_time: int) -> str:
        """The id of a template that the program itself gave, printf-style: its placeholders become `<*>`."""
        found = self._given.get(template)
        if found is None:
            found = self._remember_given(template, event_time)
        return found

    def load(self, record: Mapping[str, Any]) -> None:
        """Takes a record of logs.templates.v1, of this miner or of the one before it; others are left alone."""
        self._book.load(record)

    def take_changes(self) -> list[dict[str, Any]]:
        """The records of what is new or changed since the last call; publish them with the events that use them."""
        return self._book.take_changes()

    def record(self, template_id: str) -> dict[str, Any]:
        """A template as logs.templates.v1 holds it."""
        return self._book.record(template_id)

    def records(self) -> list[dict[str, Any]]:
        """All templates, by id."""
        return self._book.records()

    def root(self, template_id: str) -> str:
        """The id of the template that stands for this one now."""
        return self._book.root(template_id)

    def _remember(self, masked: Masked, words: Words, event_time: int) -> tuple[str, Extract]:
        form = tokens_of(masked)
        template = self._find(form.tokens, event_time)
        self._book.succeed_former(words, template.template_id)
        if len(template.tokens) == len(form.tokens):
            known = template.template_id, extractor(template.tokens, form.spans)
        else:  # the template of everything, beyond max_templates
            known = template.template_id, extractor((WILDCARD,), ((0, MAX_TOKENS + 1),))
        self._take_room(sum(map(getsizeof, masked)) + 16 * len(masked))
        self._lines[masked] = known
        self._lines_of.setdefault(known[0], []).append(masked)
        return known

    def _remember_given(self, template: str, event_time: int) -> str:
        tokens = tuple(printf_template(template).split()[:MAX_TOKENS])
        form = " ".join(key_of(tokens))
        found = self._book.find(form)
        if found is not None:
            template_id = self._book.absorb(found, tokens).template_id
        elif self._book.is_full:
            template_id = self._overflow(event_time).template_id
        else:
            template_id = self._book.create(form, tokens, event_time).template_id
        self._take_room(getsizeof(template))
        self._given[template] = template_id
        return template_id

    def _find(self, tokens: Words, event_time: int) -> Template:
        """What the templates alone say, without memos; so it is the same after a restart."""
        key = key_of(tokens)
        text = " ".join(key)
        found = self._book.find(text) or self._book.match(tokens, key) or self._find_named(key)
        if found is not None:
            return self._book.absorb(found, tokens)
        crowd = self._book.leaf(key)
        if len(crowd) >= CROWDED_LEAF or self._book.is_full:
            return self._squeeze(crowd, text, tokens, event_time)
        return self._collapse_families(self._collapse_names(self._book.create(text, tuple(tokens), event_time)))

    def _find_named(self, key: Words) -> Template | None:
        """The template that has a value where this line has a word in a name's place, and is else alike."""
        for position in range(len(key)):
            if is_name_place(key, position):
                found = self._book.find(" ".join((*key[:position], WILDCARD, *key[position + 1 :])))
                if found is not None:
                    return found
        return None

    def _collapse_names(self, template: Template) -> Template:
        """Takes in the templates that have a word in a name's place where this one has a value."""
        for position, ids in self._book.beside(template.key):
            named = [each for each in sorted(ids) if is_name_place(self._book.get(each).key, position)]
            if named and template.num_constants >= MIN_CONSTANTS:
                key = self._book.get(named[0]).key
                return self._collapse(position, [*named, template.template_id], key)
        return template

    def _squeeze(self, crowd: Mapping[str, Template], text: str, tokens: Words, event_time: int) -> Template:
        """Merges into the most similar template of a crowded leaf; a new template where there is room and need."""
        ranked = ((-similarity(other.tokens, tokens), other.template_id) for other in crowd.values())
        distance, best = min(ranked, default=(0.0, ""))
        if -distance >= MIN_SIMILARITY:
            return self._book.absorb(crowd[best], tokens)
        if len(crowd) < FULL_LEAF and not self._book.is_full:
            return self._book.create(text, tuple(tokens), event_time)
        return self._overflow(event_time)

    def _overflow(self, event_time: int) -> Template:
        return self._book.find(WILDCARD) or self._book.create(WILDCARD, (WILDCARD,), event_time)

    def _collapse_families(self, template: Template) -> Template:
        """Makes a position of `template` a variable when too many others differ from it only there."""
        if template.num_constants <= MIN_CONSTANTS:
            return template
        for position, ids in self._book.families(template.key):
            if len(ids) > MAX_VARIANTS or (len(ids) > MAX_NAMES and is_name_place(template.key, position)):
                return self._collapse(position, sorted(ids), template.key)
        return template

    def _collapse(self, position: int, ids: list[str], key: tuple[str, ...]) -> Template:
        """All these become one template; a hash collision's stranger keeps its own."""
        members = [self._book.get(each) for each in ids]
        members = [member for member in members if _differ_only_at(position, member.key, key)]
        text = reduce(generalise, (member.tokens for member in members))
        for member in members:
            root = self._book.rewrite(member, text)
        return root

    def _take_room(self, size: int) -> None:
        """Empties the memos of lines when one more would be too much."""
        self._memo_size += _LINE_SIZE + size
        if self._memo_size > _LINE_MEMO_SIZE:
            self._forget(None)

    def _forget(self, template_id: str | None) -> None:
        if template_id is not None:
            for masked in self._lines_of.pop(template_id, ()):
                self._lines.pop(masked, None)
            return
        self._lines.clear()
        self._lines_of.clear()
        self._given.clear()
        self._memo_size = 0


def _differ_only_at(position: int, one: Words, other: Words) -> bool:
    return one[:position] == other[:position] and one[position + 1 :] == other[position + 1 :]
