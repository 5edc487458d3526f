"""Masking by token: a token that is a value becomes `<*>`, and what was decided once is remembered.

The masks are generic: digits, paths, addresses. Nothing here knows a service or a data set. A token keeps the
punctuation around it and the name before `=` or `:`, so `len=123,` is `len=<*>,` and `[id]` is `[<*>]`.
"""

WILDCARD = "<*>"
MAX_TOKEN_CHARS = 128
_OPENING = "[](){}<>\"'`,;"
_CLOSING = _OPENING + ".:!?"
_DIGITS = frozenset("0123456789")


def mask_token(token: str) -> str:
    """The constant form of a token; the token itself when it is a word. Linear in its length."""
    if len(token) > MAX_TOKEN_CHARS:
        return WILDCARD
    if token.isalnum():
        return token if token.isalpha() else WILDCARD
    if _DIGITS.isdisjoint(token):
        return _mask_path(token) if "/" in token else token
    if token[0] not in _OPENING and token[-1] not in _CLOSING and "=" not in token and ":" not in token:
        return WILDCARD  # the common case: an id, a number, an address
    core_start = len(token) - len(token.lstrip(_OPENING))
    core = token[core_start:].rstrip(_CLOSING)
    if not core or _DIGITS.isdisjoint(core):
        return token
    name = _name_length(core)
    return f"{token[: core_start + name]}{WILDCARD}{token[core_start + len(core) :]}"


def variable_part(token: str, masked: str) -> str:
    """What `<*>` stands for in a token: without the constant characters around it."""
    before, _, after = masked.partition(WILDCARD)
    if token.startswith(before) and token.endswith(after) and len(before) + len(after) <= len(token):
        return token[len(before) : len(token) - len(after)]
    return token


def _mask_path(token: str) -> str:
    core_start = len(token) - len(token.lstrip(_OPENING))
    core = token[core_start:].rstrip(_CLOSING)
    if core.startswith("/") or "://" in core:
        name = _name_length(core) if "=" in core else 0
        return f"{token[: core_start + name]}{WILDCARD}{token[core_start + len(core) :]}"
    return token


def _name_length(core: str) -> int:
    """How much of `name=value` or `name:value` is name: none when the name itself holds a digit or a slash."""
    for separator in "=:":
        at = core.find(separator)
        if 0 < at < len(core) - 1 and _DIGITS.isdisjoint(core[:at]) and "/" not in core[: at + 2]:
            return at + 1
    return 0
