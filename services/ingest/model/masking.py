"""Masking by token: the part of a token that is a value becomes `<*>`, and what was decided once is remembered.

The masks are generic: digits, paths, addresses. Nothing here knows a service or a data set. A token keeps the
punctuation around it and the names in front of a value: `len=123,` is `len=<*>,`, `[id]` is `[<*>]`, `<memory:512` is
`<memory:<*>`, `core.2345` is `core.<*>`. A name of a function or of a technology keeps its digit: `init2()`, `ipv4`.
There is one `<*>` in a token at most.
"""

import re

WILDCARD = "<*>"
MAX_TOKEN_CHARS = 128
OPENING = "[](){}<>\"'`,;=:#"
CLOSING = "[](){}<>\"'`,;.:!?"
MAX_WORD_CHARS = 9
_DIGITS = frozenset("0123456789")
#: Words of the trade that hold a digit and are no values.
_WORDS = frozenset(
    "ssh1 ssh2 ipv4 ipv6 ip4 ip6 tcp4 tcp6 udp4 udp6 http2 md4 md5 sha1 sha224 sha256 sha384 sha512 utf8 utf16 base64 "
    "ext2 ext3 ext4 i386 i486 i586 i686 x86 x64 amd64 arm64 aarch64 oauth2 tls1 sslv2 sslv3 log4j python2 python3 py3 "
    "l2 l3 s3 ec2 k8s i18n l10n h264 mp3 mp4 win32 int8 int16 int32 int64 uint8 uint16 uint32 uint64 float32 "
    "float64 raid0 raid1 raid5 raid6 raid10 bz2 lz4".split()
)
#: What programs print for a value that is no number.
_LITERALS = frozenset("true false True False TRUE FALSE null NULL".split())
_FUNCTION = re.compile(r"[A-Za-z_][\w.:$]*\(\)")
#: `00:16:3e:ab:cd:ef`, `fe80::1`, `4b44f4fe-3397-..`: hexadecimal groups are one value, whatever they begin with.
_HEXADECIMAL = re.compile(r"[0-9A-Fa-f]{0,12}(?:[:-][0-9A-Fa-f]{0,12})+")
#: One name and what separates it from its value: `name=`, `name:`, `name(`, `name,`, `name......`, with quotes and
#: brackets. A name with points before `:` is a host.
_NAME = re.compile(
    r"(?:[ubr](?=[\"'])|[A-Za-z_][\w.\-]*=|[A-Za-z_][A-Za-z_\-]*(?::(?!//)|,)|[A-Za-z_][A-Za-z_.\-]*(?:\.{3,}|(?=[(\[{<])))"
    r"[\"'(\[{<]*"
)
#: `core.2345`: a word, a point, a number.
_NUMBERED = re.compile(r"([A-Za-z_]{3,}\.)\d+")
#: Most values there are, at once, with `name=` before them: from a digit on, an identifier, a UUID, a path, an address.
_COMMON = re.compile(
    r"""(?=[^0-9]*[0-9])((?:[\[({<"'`;,=:#]|[ubr](?=["'])|[A-Za-z_][\w.\-]*=)*)"""
    r"""(?:[0-9](?:[\w.:/%+-]*[\w%])?|[A-Za-z_][\w-]*(?!\(\))|[0-9A-Fa-f]{8}-[0-9A-Fa-f-]{27}"""
    r"""|(?:/[\w.~@%+*-]|[A-Za-z][A-Za-z+]*://[^\s\[\](){}<>"'`,;.:!?])(?:.*[^\s\[\](){}<>"'`,;.:!?])?)"""
    r"""([\[\](){}<>"'`,;.:!?]*)""",
    re.DOTALL,
)
_PATH = re.compile(r"(?:~|\.{1,2})?/[\w.~@%+*-]|[A-Za-z][A-Za-z+]*://")


def mask_token(token: str) -> str:
    """The constant form of a token; the token itself when it is a word. Linear in its length."""
    if len(token) > MAX_TOKEN_CHARS:
        return token[: _name_length(token[:MAX_TOKEN_CHARS])].replace(WILDCARD, "") + WILDCARD
    if token.isalnum():
        is_word = token not in _LITERALS if token.isalpha() else len(token) < MAX_WORD_CHARS and token.lower() in _WORDS
        return token if is_word else WILDCARD
    common = _COMMON.fullmatch(token)
    if common is None:
        return _mask_text(token) if _DIGITS.isdisjoint(token) else _mask_number(token)
    before, after = common.groups()
    if not before and not after:
        return WILDCARD
    length = len(token) - len(before) - len(after)
    if length < MAX_WORD_CHARS and token[len(before) : len(before) + length].lower() in _WORDS:
        return token
    return f"{before}{WILDCARD}{after}"


def _mask_number(token: str) -> str:
    """Of a token with a digit that is not as simple as most."""
    if WILDCARD in token:
        return WILDCARD
    first, last = _bounds(token)
    if last <= first:
        return token
    first += _name_length(token[first:last])
    value = token[first:last]
    if _DIGITS.isdisjoint(value) or value.lower() in _WORDS or _FUNCTION.match(token, first):
        return token
    numbered = _NUMBERED.fullmatch(value)
    return f"{token[: first + (numbered.end(1) if numbered else 0)]}{WILDCARD}{token[last:]}"


def _mask_text(token: str) -> str:
    """Of a token without a digit: paths, addresses and literals are values."""
    first, last = _bounds(token)
    if WILDCARD in token:
        return WILDCARD
    if last <= first:
        return token
    if "/" in token:
        first += _name_length(token[first:last])
    value = token[first:last]
    if value in _LITERALS or _PATH.match(value):
        return f"{token[:first]}{WILDCARD}{token[last:]}"
    return token


def _bounds(token: str) -> tuple[int, int]:
    """Where it begins and ends without the punctuation around it."""
    return len(token) - len(token.lstrip(OPENING)), len(token.rstrip(CLOSING))


def _name_length(core: str) -> int:
    """How much of it is names in front of a value."""
    if _HEXADECIMAL.fullmatch(core) and not core.isalpha():
        return 0
    end = 0
    while (name := _NAME.match(core, end)) and name.end() > end:
        end = name.end()
    return end
