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
from ahocorasick_rs import AhoCorasick, Implementation

MASK = "***"
Found = re.Match[str]
Replace = Callable[[Found], str]

#: One of these is in every text that a secret could be found in, once it is lower-cased: names, beginnings of what is a
#: secret by its looks, commands, marks of what is encoded. They are searched in one pass, so that there may be many.
_NAME_HINTS = ("token", "pass", "secret", "credential", "key", "session", "signature", "pwd", "psk", "otp")
_COMMAND_HINTS = ("curl", "mysql", "mariadb", "sshpass", "ipmitool", "snmp", "redis-cli")
_LOOK_HINTS = (
    "gaaaa", "eyj", "akia", "asia", "private key", "$", "==", "ghp_", "gho_", "ghs_", "ghu_", "ghr_", "github_pat_",
    "glpat-", "xox", "aiza", "hvs.", "sk-", "sk_live_",
)  # fmt: skip
_OTHER_HINTS = (
    "auth", "cookie", "bearer", "basic", "identified", "sig=", "jwt=", "sid=", "hmac", "@", "\\u00",
)  # fmt: skip
_HINTS = AhoCorasick([*_NAME_HINTS, *_COMMAND_HINTS, *_LOOK_HINTS, *_OTHER_HINTS], implementation=Implementation.DFA)
_QUOTE = r"""(?:\\{0,8}["'])"""
#: A map or list up to three deep; with anything else in it, what is left of the line.
_STRINGS = r""""(?:[^"\\\n]|\\[^\n])*+" | '(?:[^'\\\n]|\\[^\n])*+'"""
_FLAT = rf"""[\[{{](?: [^\[\]{{}}"']++ | {_STRINGS} )*+[\]}}]"""
_NESTED = rf"""[\[{{](?: [^\[\]{{}}"']++ | {_STRINGS} | {_FLAT} )*+[\]}}]"""
_GROUP = rf"""[\[{{](?: [^\[\]{{}}"']++ | {_STRINGS} | {_NESTED} )*+(?:[\]}}]|\Z)"""
#: Opened and closed by a quote (escaped or not), a YAML block, a map or list, or what stands up to a separator.
_VALUE = rf"""(?:
    [ubr]{{0,2}}\\{{1,8}}"[^"]*+(?:"|\Z) | [ubr]{{0,2}}\\{{1,8}}'[^']*+(?:'|\Z)
  | [ubr]{{0,2}}"(?:[^"\\]|\\.)*+(?:"|\\?\Z) | [ubr]{{0,2}}'(?:[^'\\]|\\.)*+(?:'|\\?\Z)
  | [|>][-+0-9]{{0,2}}[ \t]{{0,4}}(?:\n[ \t]++[^\n]*+)++ | \*{{3}}(?=/>)
  | [a-z_.]{{1,64}}\([^()\n]*+\)? | {_GROUP} [^\s,;&)}}\]"'<>]*+ | [\[{{][^\n]*+ | [^\s,;&)}}\]"'<>]++
)"""
_NAMES = r"""(?:
    passwor[dt]s? | passwd | passphrase | adminpass | admin_pass | secrets? | tokens? | credentials?
  | (?:api|access|private|encryption|auth|account|hmac|master|signing|storage|fernet|shared)[_-]?key
  | session[_-]?(?:id|key) | signature | (?<![a-z])(?:pass|pwd|psk|otp)
)"""
#: `token: keystone.exception.InvalidToken` names an error and no token: two dots or more, letters only.
_NOT_AN_ERROR = r"(?!(?<=token:\s)[a-z_]{1,80}(?:\.[a-z_]{1,80}){2,12}(?:[\s:,;)]|\Z))"
#: `tokens => generated 3338 bytes` is uWSGI's.
_ASSIGNED = rf"""(?:
    {_QUOTE}?\s{{0,4}}=>(?!\sgenerated\s\d)\s{{0,4}} | {_QUOTE}?\s{{0,4}}:?[:=](?!>)\s{{0,4}}
  | {_QUOTE}\s{{0,4}},\s{{0,4}}(?=[ubr]{{0,2}}\\{{0,8}}["'\[])
)"""
#: Behind a name: `=` or the like and a value; a quoted text, as `PASSWORD 'x'` of SQL or `Password("x")`; or a word
#: that looks random: `using password s3cr3tX for`.
_KEYED = re.compile(
    rf"""(?P<name>{_NAMES}(?:(?P<assigned>[a-z0-9_-]{{0,32}}{_ASSIGNED})
      |(?:\s{{0,4}}\(\s{{0,4}}|\s{{1,4}}(?:(?:is|was|to|with|value)\s{{1,4}})?)(?P<quote>{_QUOTE})?))
    (?(assigned){_NOT_AN_ERROR}{_VALUE}
      |(?(quote)[^"'\\]{{1,512}}|(?=[a-z_.-]{{0,64}}[0-9])(?=[0-9_.-]{{0,64}}[a-z])[a-z0-9._~+/=-]{{8,}}+))""",
    re.I | re.X | re.S,
)
#: A name and its value as two fields: OpenTelemetry's attributes, environments of Kubernetes.
_PAIR = re.compile(
    rf"""(?P<name>(?:{_NAMES}|authorization|cookie)[a-z0-9_.-]{{0,32}}{_QUOTE}?\s{{0,16}},?\s{{0,16}}{_QUOTE}?
    (?:string_?)?value{_QUOTE}?\s{{0,4}}:\s{{0,4}}){_VALUE}""",
    re.I | re.X | re.S,
)
_KUBERNETES_SECRET = re.compile(rf"kind{_QUOTE}?\s{{0,4}}:\s{{0,4}}{_QUOTE}?Secret(?![A-Za-z])")
_SECRET_DATA = re.compile(
    rf"""(?P<name>(?:stringD|(?<![A-Za-z])d)ata{_QUOTE}?\s{{0,4}}:)
    (?:\s{{0,4}}\{{[^{{}}]*+\}}?|[ \t]*+(?:\n[ \t]++[^\n]*+)++)""",
    re.X,
)
_XML = re.compile(
    rf"""(?P<name>(?:<|&lt;)[\w:.-]{{0,64}}?{_NAMES}[\w:.-]{{0,32}}(?:\s[^<>&]{{0,256}})?(?:>|&gt;))[^<&]++(?=</|&lt;/|\Z)""",
    re.I | re.X,
)
_OPTION = re.compile(
    r"(?P<name>--[a-z0-9-]{0,32}?(?:password|passwd|pass|token|secret|api-key|private-key)[a-z0-9-]{0,16}\s{1,4})"
    r"""(?:"[^"]*+"?|'[^']*+'?|\S+)""",
    re.IGNORECASE,
)
_ARGUMENT = r"""(?:"[^"]*+"?|'[^']*+'?|\S+)"""
#: `curl -u name:password`, and what other programs take as a single letter. Between a command and its option the
#: command does not stand again, so that each character is looked at once.
_COMMAND = re.compile(
    rf"""(?P<name>\b(?:
        curl\b(?:(?!\bcurl)[^\n|;]){{0,512}}?\s(?:-u|--user|--proxy-user|-U)[\s=]{{0,4}}["']?[^\s:"']{{0,128}}:
      | (?:mysql|mariadb)(?:(?!\bm(?:ysql|ariadb))[^\n|;]){{0,512}}?\s-p(?=\S) | sshpass\s{{1,4}}-p\s{{0,4}}
      | ipmitool\b(?:(?!\bipmitool)[^\n|;]){{0,512}}?\s-P\s{{0,4}}
      | snmp\w{{1,16}}\b(?:(?!\bsnmp)[^\n|;]){{0,512}}?\s-[cAX]\s{{0,4}}
      | redis-cli\b(?:(?!\bredis-cli)[^\n|;]){{0,512}}?\s-a\s{{0,4}}
    )){_ARGUMENT}""",
    re.X,
)
#: Redis' settings, and its and SMTP's command.
_AUTH = re.compile(
    rf"""(?P<name>(?:requirepass|masterauth)\s{{1,4}}|(?<![A-Za-z_])AUTH["']?\s{{1,4}}(?:["']?(?:default|LOGIN|PLAIN)["']?\s{{1,4}})?)
    (?!(?:failed|error|ok)\b){_ARGUMENT}""",
    re.X,
)
_QUERY = re.compile(
    r"(?P<name>[?&;](?:amp;)?(?:[a-z0-9_-]{0,24}sig|key|auth|jwt|sid|hmac)=)[^&;\s\"'<>]++", re.IGNORECASE
)
#: A header's value: up to the quote that closes it, else what is left of the line.
_HEADER = re.compile(
    rf"""(?P<name>(?:authorization|cookie)(?:{_QUOTE}?\s{{0,4}}[:=]|{_QUOTE}\s{{0,4}},(?!\s{{0,4}}{_QUOTE}value))\s{{0,4}}\[?(?:[ubr]?{_QUOTE})?)
    (?: (?:digest|aws4|hawk|oauth)[^\r\n]*+
      | (?<=[^\\]")(?:[^"\\\r\n]|\\.)++ | (?<=[^\\]')(?:[^'\\\r\n]|\\.)++ | (?<=\\["'])[^"'\\\r\n]++
      | (?<!["'])(?:[^\r\n"']|(?<==)"[^"\r\n]*+")++ )""",
    re.I | re.X,
)
_BEARER = re.compile(r"(?P<name>\bbearer\s{1,4})[A-Za-z0-9._~+/=-]{8,}+", re.IGNORECASE)
_BASIC = re.compile(r"(?P<name>\bbasic\s{1,4})(?P<value>[A-Za-z0-9+/]{4,}+={0,2})", re.IGNORECASE)
#: The password may hold anything but blanks and quotes; `host:9696/..` is not one.
#: Up to the last @, since it may hold some; possessive, or a line of `://://` would cost its length times 512.
_URL = re.compile(
    r"""(?P<name>:(?:\\?/){2}[^\s/:@"']{0,128}:)(?=[^@]{1,512}+@)(?!\d{1,5}(?:[/?#\s,)]|\Z))"""
    r"""(?:[^\s"'@]{0,512}+@){1,16}+"""
)
_IDENTIFIED = re.compile(
    rf"(?P<name>identified\s{{1,4}}(?:with\s{{1,4}}\S{{1,64}}\s{{1,4}})?(?:by|as)\s{{1,4}}(?:password\s{{1,4}})?){_VALUE}",
    re.I | re.X | re.S,
)
_LAST_WORD = re.compile(r"(?<![A-Za-z])[A-Za-z]{1,128}\Z")
#: How classes of exceptions are called.
_CLASS = re.compile(
    r"(?:Invalid|Missing|Expired|Unsupported)[A-Z][A-Za-z]*"
    r"|[A-Z][A-Za-z]*(?:Error|Exception|NotFound|Expired|Failure|Failed|Required|Invalid|Denied|Disabled)"
)
_OPEN_KEY = f"-----BEGIN PRIVATE KEY-----{MASK}"
_LOOKS = re.compile(
    r"""gAAAA[A-Za-z0-9_\-=%]{16,}+
  | (?<![A-Za-z0-9_-])eyJ[A-Za-z0-9_-]{8,}+(?:\.[A-Za-z0-9_-]*+){1,4}
  | (?<![A-Za-z0-9])(?:AKIA|ASIA)[0-9A-Z]{16}(?![0-9A-Za-z])
  | (?<![A-Za-z0-9+/])AQ[A-Za-z0-9+/]{36}==
  | \$(?:[156y]|gy|2[abxy]?|apr1|argon2[a-z]{1,2}|scrypt|pbkdf2[a-z0-9-]{0,16})\$[^\s:"']{8,}+
  | (?<![A-Za-z0-9])(?:gh[opsru]_[A-Za-z0-9]{30,}+|github_pat_\w{20,}+|glpat-[\w-]{16,}+|xox[abeoprs]-[\w-]{10,}+
    |AIza[\w-]{30,}+|hvs\.[\w-]{16,}+|sk-[A-Za-z0-9_-]{16,}+|sk_live_\w{16,}+)
  | -----BEGIN\ [A-Z0-9 ]{0,32}PRIVATE\ KEY-----(?:[^-]|-(?!----END))*+(?:-----END\ [A-Z0-9 ]{0,32}PRIVATE\ KEY-----)?
    """,
    re.VERBOSE,
)
_MIXED = r"(?=[^\s]{0,75}[0-9])(?=[^\s]{0,75}[A-Z])(?=[^\s]{0,75}[a-z])"
#: A line of a private key that came alone, with or without a header before it: 60 to 76 characters of base64.
_KEY_LINE = re.compile(rf"{_MIXED}[A-Za-z0-9+/]{{60,76}}={{0,2}}")
_KEY_REST = re.compile(r"[A-Za-z0-9+/]{1,76}={0,2}|[A-Za-z-]{3,24}: [^\n]{1,256}|")
_ESCAPED = re.compile(r"\\u00([2-7][0-9A-Fa-f])")
_PERCENT = re.compile(r"%[0-9A-Fa-f]{2}")
_PERCENT_WORD = re.compile(r"""(?<![^\s"'<>])(?:[^\s"'<>%]|%(?![0-9A-Fa-f]{2}))*+%[0-9A-Fa-f]{2}[^\s"'<>]*+""")
_ODD_ESCAPES = frozenset(("22", "5c", "5C"))
_MAX_DECODED = 3
#: What JSON holds below this depth is withheld.
MAX_JSON_DEPTH = 64
TOO_DEEP = "[..]"
_DESCRIBED = re.compile(
    r"(?:name|type|count|len|length|size|expir\w*|ttl|path|file|ref|policy|method|version|format|ur[il]|host|enabled"
    r"|required|provider)s?\Z",
    re.IGNORECASE,
)
_SECRET_NAME = re.compile(rf"{_NAMES}|authorization|cookie|(?:\A|[_.-])auth\Z", re.I | re.X)
_SECRET_NUMBER = re.compile(r"(?:passwor[dt]|passwd|passphrase|passcode|secret|otp)\Z", re.IGNORECASE)


def mask(text: str, counts: Counter[str] | None = None) -> str:
    """The text with every secret replaced.

    Args:
        counts: gets how many were replaced, by form; it costs time.
    """
    if _HINTS.find_matches_as_indexes(text.lower()):
        text = _mask_escaped(text, counts)
    if "%" in text and _PERCENT.search(text):
        text = _PERCENT_WORD.sub(partial(_mask_percent, counts), text)
    if "\n" in text:
        return "\n".join(_mask_key_line(line, counts) for line in text.split("\n"))
    return _mask_key_line(text, counts) if len(text) - text.rfind(" ") > 60 else text


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
    return _SECRET_NAME.search(name) is not None and _DESCRIBED.search(name) is None


def is_secret_number(name: str) -> bool:
    """True where even a number is a secret: `password`; not for `num_tokens`."""
    return _SECRET_NUMBER.search(name[-64:]) is not None


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
    return masked.endswith(MASK) or _KEY_REST.fullmatch(masked) is not None


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
        plain = _ESCAPED.sub(_unescape, text)
        masked = _mask_hinted(plain, counts)
        return text if masked == plain else masked
    return _mask_hinted(text, counts)


def _unescape(found: Found) -> str:
    return found[0] if found[1] in _ODD_ESCAPES else chr(int(found[1], 16))


def _mask_percent(counts: Counter[str] | None, found: Found) -> str:
    """A word with percent signs, decoded as often as needed; left as it is unless there is a secret in it."""
    plain = found[0]
    for _ in range(_MAX_DECODED):
        decoded = unquote(plain)
        if decoded == plain:
            break
        plain = decoded.replace("+", " ") if "BEGIN" in decoded else decoded
        if not _HINTS.find_matches_as_indexes(plain.lower()):
            continue
        masked = _mask_hinted(plain, counts)
        if masked != plain:
            return quote(masked, safe="/:?&=;,@*+$!'()[]{}")
    return found[0]


def _mask_hinted(text: str, counts: Counter[str] | None) -> str:
    """Runs the expressions whose hints are there; the dearer the hint, the later it is asked."""
    lowered = text.lower()
    sub = _sub if counts is None else partial(_counting_sub, counts)
    if any(hint in lowered for hint in _LOOK_HINTS):
        text = sub("look", _LOOKS, _hide, text)
    if "authorization" in lowered or "cookie" in lowered:
        text = sub("header", _HEADER, _keep_name, text)
    if "bearer" in lowered:
        text = sub("header", _BEARER, _keep_name, text)
    if "basic" in lowered:
        text = sub("header", _BASIC, _keep_unless_basic, text)
    if "@" in text and ("://" in text or ":\\/" in text):
        text = sub("url", _URL, _keep_name, text)
    if "identified" in lowered:
        text = sub("sql", _IDENTIFIED, _keep_name, text)
    if any(hint in lowered for hint in _COMMAND_HINTS):
        text = sub("command", _COMMAND, _keep_name, text)
    if "AUTH" in text or "requirepass" in lowered or "masterauth" in lowered:
        text = sub("command", _AUTH, _keep_name, text)
    if "=" in text and ("?" in text or "&" in text):
        text = sub("query", _QUERY, _keep_name, text)
    if any(hint in lowered for hint in _NAME_HINTS) or ("value" in lowered and "auth" in lowered):
        text = _mask_named(text, lowered, sub)
    return text


def _mask_named(text: str, lowered: str, sub: Callable[[str, re.Pattern[str], Replace, str], str]) -> str:
    """What stands behind a name."""
    if "secret" in lowered and "kind" in lowered and _KUBERNETES_SECRET.search(text):
        text = sub("kubernetes", _SECRET_DATA, _keep_name, text)
    if "value" in lowered:
        text = sub("field", _PAIR, _keep_name, text)
    if "<" in text or "&lt;" in text:
        text = sub("field", _XML, _keep_name, text)
    text = sub("field", _KEYED, _keep_name_or_class, text)
    if "--" in text:
        text = sub("command", _OPTION, _keep_name, text)
    return text


def _sub(form: str, expression: re.Pattern[str], replace: Replace, text: str) -> str:
    return expression.sub(replace, text)


def _counting_sub(counts: Counter[str], form: str, expression: re.Pattern[str], replace: Replace, text: str) -> str:
    def count(found: Found) -> str:
        replaced = replace(found)
        if replaced != found[0] and not found[0].endswith(MASK):
            counts["private_key" if "PRIVATE KEY" in found[0] else form] += 1
        return replaced

    return expression.sub(count, text)


def _mask_key_line(line: str, counts: Counter[str] | None) -> str:
    """A line that ends with a word like a private key's line."""
    start = max(line.rfind(" "), line.rfind("\t")) + 1
    if not 60 <= len(line) - start <= 78 or not _KEY_LINE.fullmatch(line, start):
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
        word = _LAST_WORD.search(found.string, max(0, found.start() - 64), found.start() + len(name) - 2)
        value = found[0][len(name) :]
        if word and _CLASS.fullmatch(word[0]) and value[0] not in "\\\"'[{":
            return name + _KEYED.sub(_keep_name, value)
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
