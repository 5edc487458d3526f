"""Secrets never leave ingest: they are replaced by `***` in everything that it writes.

Tokens, passwords and keys by the name before them, in any quoting (`password=..`, `'auth_token': '..'`,
`X-Auth-Token: ..`, `--os-password ..`), and by their own looks (fernet and JSON web tokens, AWS key ids, private keys,
`user:password@` in connection URLs). Masking too much is accepted; letting one out is not.

A line is first searched for a few substrings, which costs most of the time that masking takes; the expressions run
only when one is there. Each of them is linear on any line: repetitions are bounded or possessive, and what is opened
and not closed reaches to the end of the text.
"""

import re

MASK = "***"

#: One of these is in every text in which a name could give a secret away, once it is lower-cased. Few, since each
#: costs every line a tenth of a microsecond: `key` stands for all sorts of keys.
_NAME_HINTS = ("token", "pass", "secret", "credential", "key", "session", "signature", "pwd")
_LOOK_HINTS = ("gAAAA", "eyJ", "AKIA", "ASIA", "PRIVATE KEY")
_HEADER_HINTS = ("authorization", "cookie")
_QUOTE = r"""(?:\\{0,8}["'])"""
#: Opened and closed by a quote (escaped or not), a whole list, a flat map, or what stands up to the next separator.
_VALUE = r"""(?:
    [ubr]{0,2}\\{1,8}"[^"]*+(?:"|\Z) | [ubr]{0,2}\\{1,8}'[^']*+(?:'|\Z)
  | [ubr]{0,2}"(?:[^"\\]|\\.)*+(?:"|\\?\Z) | [ubr]{0,2}'(?:[^'\\]|\\.)*+(?:'|\\?\Z)
  | \[[^\]]*+(?:\]|\Z) | \{[^{}]*+\}?[^\s,;&)}\]"'<>]*+ | [^\s,;&)}\]"'<>]++
)"""
_NAMES = r"""(?:
    passwor[dt]s? | passwd | passphrase | adminpass | admin_pass | secrets? | tokens? | credentials? | api[_-]?key
  | access[_-]?key | private[_-]?key | encryption[_-]?key | session[_-]?(?:id|key) | signature
  | (?<![a-z])(?:pass|pwd)
)"""
#: `token: keystone.exception.InvalidToken` names an error and no token: two dots or more, letters only.
_NOT_AN_ERROR = r"(?!(?<=token:\s)[a-z_]{1,80}(?:\.[a-z_]{1,80}){2,12}(?:[\s:,;)]|\Z))"
_KEYED = re.compile(
    rf"""(?P<name>{_NAMES}[a-z0-9_-]{{0,32}}(?:{_QUOTE}\s{{0,4}}=>|{_QUOTE}?\s{{0,4}}:?[:=](?!>))\s{{0,4}}){_NOT_AN_ERROR}{_VALUE}""",
    re.IGNORECASE | re.VERBOSE | re.DOTALL,
)
_OPTION = re.compile(
    r"(?P<name>--[a-z0-9-]{0,32}?(?:password|passwd|pass|token|secret|api-key|private-key)[a-z0-9-]{0,16}\s{1,4})"
    r"""(?:"[^"]*+"?|'[^']*+'?|\S+)""",
    re.IGNORECASE,
)
_HEADER = re.compile(
    rf"(?P<name>(?:authorization|cookie){_QUOTE}?\s{{0,4}}[:=]\s{{0,4}}{_QUOTE}?)[^\"'\r\n]+", re.IGNORECASE
)
_BEARER = re.compile(r"(?P<name>\bbearer\s{1,4})[A-Za-z0-9._~+/=-]{8,}+", re.IGNORECASE)
#: The password may hold anything but blanks and quotes; `host:9696/..` is not one.
_URL = re.compile(r"""(?P<name>://[^\s/:@"']{0,128}:)(?!\d{1,5}(?:[/?#\s,)]|\Z))[^\s"']{1,512}(?=@)""")
_IDENTIFIED = re.compile(rf"(?P<name>identified\s{{1,4}}by\s{{1,4}}(?:password\s{{1,4}})?){_VALUE}", re.I | re.X | re.S)
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
  | -----BEGIN\ [A-Z0-9 ]{0,32}PRIVATE\ KEY-----(?:[^-]|-(?!----END))*+(?:-----END\ [A-Z0-9 ]{0,32}PRIVATE\ KEY-----)?
    """,
    re.VERBOSE,
)
#: A line of a private key that came alone: 60 to 76 characters of base64 and nothing else.
_KEY_LINE = re.compile(r"(?=[^\n]{0,75}[0-9])(?=[^\n]{0,75}[A-Z])(?=[^\n]{0,75}[a-z])[A-Za-z0-9+/]{60,76}={0,2}")


def mask(text: str) -> str:
    """The text with every secret replaced."""
    lowered = text.lower()
    if _has_hint(text, lowered):
        text = _mask_hinted(text, lowered)
    if "\n" in text:
        return "\n".join(MASK if _KEY_LINE.fullmatch(line) else line for line in text.split("\n"))
    return MASK if 60 <= len(text) <= 78 and _KEY_LINE.fullmatch(text) else text


def _has_hint(text: str, lowered: str) -> bool:
    """Written out, and single letters first, since every line pays for it. `IA` is of AKIA and ASIA."""
    return (
        "@" in text or "token" in lowered or "pass" in lowered or "secret" in lowered or "key" in lowered
        or "credential" in lowered or "session" in lowered or "signature" in lowered
        or ("w" in lowered and "pwd" in lowered) or ("J" in text and "eyJ" in text) or "gAAAA" in text
        or ("I" in text and "IA" in text) or "authorization" in lowered or "cookie" in lowered
        or "bearer" in lowered or "identified" in lowered
    )  # fmt: skip


def _mask_hinted(text: str, lowered: str) -> str:
    """Runs the expressions whose hints are there."""
    if any(hint in text for hint in _LOOK_HINTS):
        text = _LOOKS.sub(_hide, text)
    if any(hint in lowered for hint in _HEADER_HINTS):
        text = _HEADER.sub(_keep_name, text)
    if "bearer" in lowered:
        text = _BEARER.sub(_keep_name, text)
    if "@" in text and "://" in text:
        text = _URL.sub(_keep_name, text)
    if "identified" in lowered:
        text = _IDENTIFIED.sub(_keep_name, text)
    if any(hint in lowered for hint in _NAME_HINTS):
        text = _KEYED.sub(_keep_name_or_class, text)
        if "--" in text:
            text = _OPTION.sub(_keep_name, text)
    return text


def opens_key(masked: str) -> bool:
    """True when a masked line holds the beginning of a private key whose end is on a later line."""
    return masked.endswith(_OPEN_KEY)


def closes_key(masked: str) -> bool:
    """True for the last line of a private key."""
    return "-----END " in masked


def _hide(found: re.Match[str]) -> str:
    text = found[0]
    return _OPEN_KEY if text.startswith("-----BEGIN") and "-----END" not in text else MASK


def _keep_name_or_class(found: re.Match[str]) -> str:
    """`keystone.exception.TokenNotFound: Could not ..` is an exception with its message, no token with its value."""
    name = found["name"]
    if name.endswith(": "):
        word = _LAST_WORD.search(found.string, max(0, found.start() - 64), found.start() + len(name) - 2)
        value = found[0][len(name) :]
        if word and _CLASS.fullmatch(word[0]) and value[0] not in "\\\"'[{":
            return name + _KEYED.sub(_keep_name, value)
    return name + MASK


def _keep_name(found: re.Match[str]) -> str:
    return found["name"] + MASK
