"""A template, its id, and which template stands for which."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from operator import eq

from services.ingest.model.forms import fits, key_of
from services.ingest.model.masking import WILDCARD


def template_id_of(first_form: str) -> str:
    """16 hexadecimal digits, the same on every machine for the same text."""
    return hashlib.blake2b(first_form.encode(), digest_size=8).hexdigest()


@dataclass(slots=True)
class Template:
    """A template as it is now. `tokens` are the words of its text; `first_seen` is microseconds since 1970 UTC."""

    template_id: str
    first_form: str
    tokens: tuple[str, ...]
    first_seen: int
    key: tuple[str, ...] = field(init=False)

    def __post_init__(self) -> None:
        self.key = key_of(self.tokens)

    @property
    def text(self) -> str:
        return " ".join(self.tokens) if self.tokens else self.first_form

    @property
    def key_text(self) -> str:
        return " ".join(self.key) if self.key else self.first_form

    @property
    def is_general(self) -> bool:
        """It has been generalised since it was first seen, so lines of other keys may match it."""
        return self.key_text != self.first_form

    @property
    def num_constants(self) -> int:
        return sum(WILDCARD not in token for token in self.key)

    def matches(self, tokens: Sequence[str], key: Sequence[str]) -> bool:
        """True when every token stands for the line's; they are as many."""
        return all(
            mine == theirs or fits(token, word)
            for mine, theirs, token, word in zip(self.key, key, self.tokens, tokens, strict=True)
        )


def similarity(template: Sequence[str], tokens: Sequence[str]) -> float:
    """The share of words that are equal, as Drain has it. Source: He et al., Drain, ICWS 2017."""
    return float(sum(map(eq, template, tokens))) / len(tokens)


class Aliases:
    """Which template stands for which: disjoint sets in which the smallest id speaks.

    The result does not depend on the order in which links were learnt, so every replica agrees.
    """

    def __init__(self) -> None:
        self._parents: dict[str, str] = {}
        self._members: dict[str, set[str]] = {}

    def root(self, template_id: str) -> str:
        """The id to use instead; the id itself when it has no alias."""
        while template_id in self._parents:
            template_id = self._parents[template_id]
        return template_id

    def link(self, one: str, other: str) -> bool:
        """Makes both the same; False when they were."""
        root, alias = sorted((self.root(one), self.root(other)))
        if root == alias:
            return False
        members = self._members.pop(alias, set()) | {alias}
        for member in members:
            self._parents[member] = root
        self._members.setdefault(root, set()).update(members)
        return True

    def of(self, template_id: str) -> list[str]:
        """The ids that resolve to this one, sorted."""
        return sorted(self._members.get(template_id, ()))
