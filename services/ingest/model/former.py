"""What the miner before this one, drain-1, called a line: so that whoever kept its ids still finds the template.

A better miner masks differently, so its templates have other first forms and other ids. What it finds of its
predecessor in logs.templates.v1 stays there; for a line that it meets it asks here which template that one had given
it, and publishes the old id as an alias of its own. An old template that is two now is an alias of the one met first,
of the smaller id where replicas met different ones.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from services.ingest.model.masking import WILDCARD

FORMER_VERSION = "drain-1"
_MAX_TOKENS = 64
_MAX_TOKEN_CHARS = 128
#: Of one length and first word so many general templates are looked at.
_MAX_CANDIDATES = 64
_OPENING = "[](){}<>\"'`,;"
_CLOSING = _OPENING + ".:!?"
_DIGITS = frozenset("0123456789")


class FormerTemplates:
    """The records of the former miner, found by a line's words. Knows nothing until something is added."""

    def __init__(self, max_templates: int) -> None:
        self._max_templates = max_templates
        self._records: dict[str, dict[str, Any]] = {}
        self._ids: dict[str, str] = {}
        self._general: dict[tuple[int, str], dict[str, tuple[str, ...]]] = {}

    def __len__(self) -> int:
        return len(self._records)

    def __contains__(self, template_id: str) -> bool:
        return template_id in self._records

    def record(self, template_id: str) -> dict[str, Any]:
        """As it was added."""
        return self._records[template_id]

    def add(self, record: Mapping[str, Any]) -> None:
        """Takes a record; of too many the last are left out."""
        template_id, form, text = record["template_id"], record["first_form"], record["text"]
        if template_id not in self._records and len(self._records) >= self._max_templates:
            return
        self._records[template_id] = dict(record)
        self._ids[form] = template_id
        if text != form:
            tokens = tuple(text.split())
            self._ids.setdefault(text, template_id)
            self._general.setdefault((len(tokens), tokens[0] if tokens else ""), {})[template_id] = tokens

    def identify(self, words: Sequence[str]) -> str | None:
        """The id that the former miner gave a line, before aliases; None when it never saw the like."""
        tokens = [_mask(word) for word in words[:_MAX_TOKENS]]
        if len(words) > _MAX_TOKENS:
            tokens.append(WILDCARD)
        found = self._ids.get(" ".join(tokens))
        return found if found is not None else self._match(tokens)

    def _match(self, tokens: Sequence[str]) -> str | None:
        best: tuple[int, str] | None = None
        for first in (tokens[0] if tokens else "", WILDCARD):
            bucket = self._general.get((len(tokens), first), {})
            for template_id, _ in zip(bucket, range(_MAX_CANDIDATES), strict=False):
                rank = (bucket[template_id].count(WILDCARD), template_id)
                if (best is None or rank < best) and _matches(bucket[template_id], tokens):
                    best = rank
        return best[1] if best else None


def _matches(template: Sequence[str], tokens: Sequence[str]) -> bool:
    return all(mine in (theirs, WILDCARD) for mine, theirs in zip(template, tokens, strict=True))


def _mask(token: str) -> str:
    """drain-1's mask, as it was."""
    if len(token) > _MAX_TOKEN_CHARS:
        return WILDCARD
    if token.isalnum():
        return token if token.isalpha() else WILDCARD
    core_start = len(token) - len(token.lstrip(_OPENING))
    core = token[core_start:].rstrip(_CLOSING)
    end = core_start + len(core)
    if _DIGITS.isdisjoint(token):
        if not (core.startswith("/") or "://" in core):
            return token
        name = _name_length(core) if "=" in core else 0
        return f"{token[: core_start + name]}{WILDCARD}{token[end:]}"
    if token[0] not in _OPENING and token[-1] not in _CLOSING and "=" not in token and ":" not in token:
        return WILDCARD
    if not core or _DIGITS.isdisjoint(core):
        return token
    return f"{token[: core_start + _name_length(core)]}{WILDCARD}{token[end:]}"


def _name_length(core: str) -> int:
    for separator in "=:":
        at = core.find(separator)
        if 0 < at < len(core) - 1 and _DIGITS.isdisjoint(core[:at]) and "/" not in core[: at + 2]:
            return at + 1
    return 0
