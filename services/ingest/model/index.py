"""The tree: where templates are found by a line's key. Holds the templates that stand for themselves (no aliases).

A leaf holds the templates of one length and the same first words of their keys. Beside the leaves stand the families:
templates whose keys differ in one position only, by a hash that leaves that position out.
"""

from collections.abc import Iterator, Sequence, Set
from itertools import product

from services.ingest.model.forms import shape_of
from services.ingest.model.masking import WILDCARD
from services.ingest.model.templates import Template

LeafKey = tuple[int, tuple[str, ...]]
_NONE: frozenset[str] = frozenset()


def prefix_length(num_tokens: int) -> int:
    """How many first words choose the leaf: none of one word, one of up to four, else two."""
    return 0 if num_tokens <= 1 else 1 if num_tokens <= 4 else 2


class TemplateIndex:
    """Leaves, general templates and families. Every operation is linear in a line's words and in one leaf's size."""

    def __init__(self) -> None:
        self._leaves: dict[LeafKey, dict[str, Template]] = {}
        self._general: dict[LeafKey, dict[str, Template]] = {}
        #: By the hash of all words but one: an id, or several. Most are alone, and a set is as large as ten ids.
        self._families: dict[int, str | set[str]] = {}

    def add(self, template: Template) -> None:
        """Finds it from now on."""
        key = self._key(template.key)
        self._leaves.setdefault(key, {})[template.template_id] = template
        if template.is_general:
            self._general.setdefault(key, {})[template.template_id] = template
        for _, family in _families(template.key):
            self._join(family, template.template_id)

    def remove(self, template: Template) -> None:
        """Finds it no longer. Its key must be as it was when it was added."""
        key = self._key(template.key)
        for table in (self._leaves, self._general):
            leaf = table.get(key)
            if leaf is not None:
                leaf.pop(template.template_id, None)
                if not leaf:
                    del table[key]
        for _, family in _families(template.key):
            self._leave(family, template.template_id)

    def match(self, tokens: Sequence[str], key: Sequence[str]) -> Template | None:
        """The most special general template that matches; of equals the smallest id."""
        best: tuple[int, str, Template] | None = None
        for template in self._candidates(self._general, key):
            if template.matches(tokens, key):
                rank = (-template.num_constants, template.template_id, template)
                if best is None or rank[:2] < best[:2]:
                    best = rank
        return best[2] if best else None

    def leaf(self, key: Sequence[str]) -> dict[str, Template]:
        """The templates of the line's leaf."""
        return self._leaves.get(self._key(key), {})

    def families(self, key: Sequence[str]) -> Iterator[tuple[int, Set[str]]]:
        """Of every constant position the ids of the templates that differ there only (or collide by hash)."""
        for position, family in _families(key):
            yield position, self._members(family)

    def beside(self, key: Sequence[str]) -> Iterator[tuple[int, Set[str]]]:
        """Of every position that is `<*>` and nothing else the ids of the templates with a word there, else alike."""
        if WILDCARD not in key:
            return
        for position, family in _hashes(key):
            if key[position] == WILDCARD:
                yield position, self._members(family)

    def _join(self, family: int, template_id: str) -> None:
        members = self._families.setdefault(family, template_id)
        if isinstance(members, set):
            members.add(template_id)
        elif members != template_id:
            self._families[family] = {members, template_id}

    def _leave(self, family: int, template_id: str) -> None:
        members = self._families.get(family)
        if isinstance(members, set):
            members.discard(template_id)
        if members == template_id or members == set():
            del self._families[family]

    def _members(self, family: int) -> Set[str]:
        members = self._families.get(family, _NONE)
        return {members} if isinstance(members, str) else members

    def _key(self, key: Sequence[str]) -> LeafKey:
        return len(key), tuple(key[: prefix_length(len(key))])

    def _candidates(self, table: dict[LeafKey, dict[str, Template]], key: Sequence[str]) -> Iterator[Template]:
        length = len(key)
        for prefix in product(*({token, shape_of(token), WILDCARD} for token in key[: prefix_length(length)])):
            yield from table.get((length, prefix), {}).values()


def _families(tokens: Sequence[str]) -> Iterator[tuple[int, int]]:
    """Of every constant position the hash of all other words. O(words)."""
    return ((position, family) for position, family in _hashes(tokens) if WILDCARD not in tokens[position])


def _hashes(tokens: Sequence[str]) -> Iterator[tuple[int, int]]:
    """Of every position the hash of all other words."""
    hashes = list(map(hash, enumerate(tokens)))
    total, length = sum(hashes), len(tokens)
    return ((position, hash((length, position, total - each))) for position, each in enumerate(hashes))
