"""Secrets never leave ingest: they are replaced by `***` in everything that it writes.

Tokens, passwords and keys by the name before them, in any quoting and notation (`password=..`, `'auth_token': '..'`,
`X-Auth-Token: ..`, `--os-password ..`, `<password>..`, `{"name": "DB_PASSWORD", "value": ..}`), percent-encoded and
escaped too; by the command that they are given to; and by their own looks (fernet and JSON web tokens, keys and tokens
of well-known services, password hashes, private keys, `user:password@` in connection URLs). docs/privacy.md has the
whole list, and what is not recognised. Masking too much is accepted; letting one out is not.

A line is first searched for a few substrings, which costs most of the time that masking takes; the expressions run
only when one is there. Each of them is linear on any line: repetitions are bounded or possessive, and what is opened
and not closed reaches to the end of the line or text.
"""

import base64
import binascii
import re
from collections import Counter
from collections.abc import Callable
from functools import lru_cache, partial
from typing import Any
from urllib.parse import quote, unquote

import orjson

from services.ingest.core import secret_forms as forms
from services.ingest.core.secret_chains import mask_chained

MASK = "***"
Found = re.Match[str]
Replace = Callable[[Found], str]
Expression = re.Pattern[str] | forms.Named
Sub = Callable[[str, Expression, Replace, str], str]
_MAX_DECODED = 3
#: What JSON holds below this depth is withheld.
MAX_JSON_DEPTH = 64
TOO_DEEP = "[..]"
_find_hints = forms.HINTS.find_matches_as_strings
_find_every_hint = forms.EVERY_HINT.find_matches_as_strings
_OPEN_KEY = f"-----BEGIN PRIVATE KEY-----{MASK}"


def mask(text: str, counts: Counter[str] | None = None) -> str:
    """The text with every secret replaced.

    Args:
        counts: gets how many were replaced, by form; it costs time.
    """
    if _find_hints(text.lower()) or "@" in text or "$" in text or ("=" in text and "==" in text):
        text = _mask_escaped(text, counts)
    if "%" in text and (found := forms.PERCENT.search(text)) is not None:
        start = text.rfind(" ", 0, found.start()) + 1  # the first word with a percent sign begins here or later
        text = text[:start] + forms.PERCENT_WORD.sub(partial(_mask_percent, counts), text[start:])
    if "\n" in text:
        return "\n".join(_mask_key_line(line, counts) for line in text.split("\n"))
    return text if " " in text[-60:] else _mask_key_line(text, counts)


def mask_field(name: str, value: str, counts: Counter[str] | None = None) -> str:
    """The value of a named field: `***` when its name says that it is a secret."""
    if not is_secret_name(name):
        return mask(value, counts)
    if counts is not None and value != MASK:
        counts["field"] += 1
    return MASK if value else value


def is_secret_name(name: str) -> bool:
    """True for the name of a field that holds a secret: `db_password`, `X-Auth-Token`; not for `secret_name`."""
    return _is_secret_name(name[:256])


@lru_cache(8192)
def _is_secret_name(name: str) -> bool:
    return forms.SECRET_NAME.search(name) is not None and forms.DESCRIBED.search(name) is None


def is_secret_number(name: str) -> bool:
    """True where even a number is a secret: `password`; not for `num_tokens`."""
    return forms.SECRET_NUMBER.search(name[-64:]) is not None


def mask_json(value: Any, name: str = "", depth: int = 0, counts: Counter[str] | None = None) -> Any:
    """Any JSON without its secrets: by the names of fields, by the names beside values, and in its texts."""
    if isinstance(value, str):
        return mask_field(name, value, counts)
    if isinstance(value, dict | list):
        if value and is_secret_name(name):
            return _hidden(value, counts)
        if depth >= MAX_JSON_DEPTH:
            return TOO_DEEP
        return _mask_dict(value, depth + 1, counts) if isinstance(value, dict) else _mask_list(value, depth + 1, counts)
    if isinstance(value, int | float) and not isinstance(value, bool) and is_secret_number(name):
        return _hidden(value, counts)
    return value


def _mask_dict(fields: dict[str, Any], depth: int, counts: Counter[str] | None) -> dict[str, Any]:
    """An object; `{"name": "DB_PASSWORD", "value": ..}` and a Secret of Kubernetes are told by what is beside."""
    beside = fields.get("name", fields.get("key"))
    is_pair = isinstance(beside, str) and is_secret_name(beside)
    is_secret = fields.get("kind") == "Secret"
    masked = {}
    for name, value in fields.items():
        if value and ((is_pair and name in ("value", "Value")) or (is_secret and name in ("data", "stringData"))):
            masked[name] = _hidden(value, counts)
        else:
            masked[mask(name)] = mask_json(value, name, depth, counts)
    return masked


def _mask_list(values: list[Any], depth: int, counts: Counter[str] | None) -> list[Any]:
    """An array; what follows a name is its value: `["--os-password", ".."]`, `["X-Auth-Token", ".."]`."""
    masked: list[Any] = []
    before = ""
    for value in values:
        is_named = " " not in before and is_secret_name(before)
        masked.append(_hidden(value, counts) if is_named and value else mask_json(value, "", depth, counts))
        before = value if isinstance(value, str) else ""
    return masked


def _hidden(value: Any, counts: Counter[str] | None) -> str:
    if counts is not None and value != MASK:
        counts["field"] += 1
    return MASK


def opens_key(masked: str) -> bool:
    """True when a masked line holds the beginning of a private key whose end is on a later line."""
    return masked.endswith(_OPEN_KEY)


def closes_key(masked: str) -> bool:
    """True for the last line of a private key."""
    return "-----END " in masked


def is_key_rest(masked: str) -> bool:
    """True for what may be a line within a private key: base64 of any length, a header of its, nothing, `***`."""
    return masked.endswith(MASK) or forms.KEY_REST.fullmatch(masked) is not None


def _mask_escaped(text: str, counts: Counter[str] | None) -> str:
    """Masks. JSON is read, so that its escapes hide nothing; in what is none, escapes of plain characters are."""
    if text[0] in "{[":
        try:
            value = orjson.loads(text)
        except orjson.JSONDecodeError:
            pass
        else:
            masked = mask_json(value, counts=counts)
            return text if masked == value else orjson.dumps(masked).decode()
    if "\\u00" in text:
        plain = forms.ESCAPED.sub(_unescape, text)
        masked = _mask_hinted(plain, counts)
        return text if masked == plain else masked
    return _mask_hinted(text, counts)


def _unescape(found: Found) -> str:
    return found[0] if found[1] in forms.ODD_ESCAPES else chr(int(found[1], 16))


def _mask_percent(counts: Counter[str] | None, found: Found) -> str:
    """A word with percent signs, decoded as often as needed; left as it is unless there is a secret in it."""
    plain = found[0]
    for _ in range(_MAX_DECODED):
        decoded = unquote(plain)
        if decoded == plain:
            break
        plain = decoded.replace("+", " ") if "BEGIN" in decoded else decoded
        if not _has_hint(plain):
            continue
        masked = _mask_hinted(plain, counts)
        if masked != plain:
            return quote(masked, safe="/:?&=;,@*+$!'()[]{}")
    return found[0]


def _has_hint(text: str) -> bool:
    return bool(_find_hints(text.lower())) or any(hint in text for hint in forms.SHORT_HINTS)


def _mask_hinted(text: str, counts: Counter[str] | None) -> str:
    """Runs the expressions whose hints are there; the dearer the hint, the later it is asked."""
    lowered = text.lower()
    hints = frozenset(_find_every_hint(lowered, True))
    sub = _sub if counts is None else partial(_counting_sub, counts)
    if not hints.isdisjoint(forms.NAME_HINTS):
        text, num_chained = mask_chained(text, MASK)
        if counts is not None and num_chained:
            counts["field"] += num_chained
    if not hints.isdisjoint(forms.LOOK_HINTS):
        text = sub("look", forms.LOOKS, _hide, text)
    if "authorization" in lowered or "cookie" in lowered:
        text = sub("header", forms.HEADER, _keep_name, text)
    if "bearer" in lowered:
        text = sub("header", forms.BEARER, _keep_name, text)
    if "basic" in lowered:
        text = sub("header", forms.BASIC, _keep_unless_basic, text)
    if "@" in text and ("://" in text or ":\\/" in text):
        text = sub("url", forms.URL, _keep_name, text)
    if "identified" in lowered:
        text = sub("sql", forms.IDENTIFIED, _keep_name, text)
    if not hints.isdisjoint(forms.COMMAND_HINTS):
        text = sub("command", forms.COMMAND, _keep_name, text)
    if "AUTH" in text or "requirepass" in lowered or "masterauth" in lowered:
        text = sub("command", forms.AUTH, _keep_name, text)
    if "=" in text and ("?" in text or "&" in text):
        text = sub("query", forms.QUERY, _keep_name, text)
    if not hints.isdisjoint(forms.NAME_HINTS) or ("value" in lowered and "auth" in lowered):
        text = _mask_named(text, lowered, sub)
    return text


def _mask_named(text: str, lowered: str, sub: Sub) -> str:
    """What stands behind a name."""
    if "secret" in lowered and "kind" in lowered and forms.KUBERNETES_SECRET.search(text):
        text = sub("kubernetes", forms.SECRET_DATA, _keep_name, text)
    if "value" in lowered:
        text = sub("field", forms.PAIR, _keep_name, text)
    if "<" in text or "&lt;" in text:
        text = sub("field", forms.XML, _keep_name, text)
    text = sub("field", forms.KEYED, _keep_name_or_class, text)
    if "--" in text:
        text = sub("command", forms.OPTION, _keep_name, text)
    return text


def _sub(form: str, expression: Expression, replace: Replace, text: str) -> str:
    return expression.sub(replace, text)


def _counting_sub(counts: Counter[str], form: str, expression: Expression, replace: Replace, text: str) -> str:
    def count(found: Found) -> str:
        replaced = replace(found)
        if replaced != found[0] and not found[0].endswith(MASK):
            counts["private_key" if "PRIVATE KEY" in found[0] else form] += 1
        return replaced

    return expression.sub(count, text)


def _mask_key_line(line: str, counts: Counter[str] | None) -> str:
    """A line that ends with a word like a private key's line."""
    start = max(line.rfind(" "), line.rfind("\t")) + 1
    if not 60 <= len(line) - start <= 78 or not forms.KEY_LINE.fullmatch(line, start):
        return line
    if counts is not None:
        counts["private_key"] += 1
    return line[:start] + MASK


def _keep_name_and_at(found: Found) -> str:
    return f"{found['name']}{MASK}@"


def _hide(found: Found) -> str:
    text = found[0]
    return _OPEN_KEY if text.startswith("-----BEGIN") and "-----END" not in text else MASK


def _keep_name_or_class(found: Found) -> str:
    """`keystone.exception.TokenNotFound: Could not ..` is an exception with its message, no token with its value."""
    name = found["name"]
    if name.endswith(": "):
        word = forms.LAST_WORD.search(found.string, max(0, found.start() - 64), found.start() + len(name) - 2)
        value = found[0][len(name) :]
        if word and forms.CLASS.fullmatch(word[0]) and value[0] not in "\\\"'[{":
            return name + forms.KEYED.sub(_keep_name, value)
    return name + MASK


def _keep_unless_basic(found: Found) -> str:
    """`Basic` and base64 of `name:password`; `basic authentication` is words."""
    value = found["value"].rstrip("=")
    try:
        plain = base64.b64decode(value + "=" * (-len(value) % 4), validate=True)
    except (ValueError, binascii.Error):
        return found[0]
    return found["name"] + MASK if b":" in plain else found[0]


def _keep_name(found: Found) -> str:
    return str(found["name"]) + MASK
