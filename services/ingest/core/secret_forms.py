"""The forms in which secrets stand in texts: hints of them, and an expression for each.

Each expression is linear on any line: repetitions are bounded or possessive, and what is opened and not closed reaches
to the end of the line or text. What an expression keeps is its group `name`.
"""

import re
from collections.abc import Callable

from ahocorasick_rs import AhoCorasick, Implementation, MatchKind

#: One of these is in every text that a secret could be found in, once it is lower-cased: names, beginnings of what is a
#: secret by its looks, commands, marks of what is encoded. They are searched in one pass, so that there may be many.
NAME_HINTS = ("token", "pass", "secret", "credential", "key", "session", "signature", "pwd", "psk", "otp")
COMMAND_HINTS = ("curl", "mysql", "mariadb", "sshpass", "ipmitool", "snmp", "redis-cli")
LOOK_HINTS = (
    "gaaaa", "eyj", "akia", "asia", "private key", "$", "==", "ghp_", "gho_", "ghs_", "ghu_", "ghr_", "github_pat_",
    "glpat-", "xox", "aiza", "hvs.", "sk-", "sk_live_",
)  # fmt: skip
_OTHER_HINTS = ("auth", "cookie", "bearer", "basic", "identified", "sig=", "jwt=", "sid=", "hmac", "@", "\\u00")
ALL_HINTS = (*NAME_HINTS, *COMMAND_HINTS, *LOOK_HINTS, *_OTHER_HINTS)
#: These are asked for one by one: many hints are found twice as fast where none is shorter than three characters.
SHORT_HINTS = ("$", "==", "@")
HINTS = AhoCorasick(
    [hint for hint in ALL_HINTS if hint not in SHORT_HINTS],
    matchkind=MatchKind.LeftmostFirst, implementation=Implementation.DFA,
)  # fmt: skip
#: Which hints a text has, those within others too.
EVERY_HINT = AhoCorasick(ALL_HINTS, implementation=Implementation.DFA)
#: Hints of names, and how far before them their names may begin: `encryption_key`, `admin_pass`.
_NAME_LEADS = {hint: 0 for hint in (*NAME_HINTS, "authorization", "cookie")} | {"key": 11, "pass": 6}
_LEADS = tuple(_NAME_LEADS.values())
_find_names = AhoCorasick(_NAME_LEADS, implementation=Implementation.DFA).find_matches_as_indexes
#: A text with more names is gone through as a whole.
_MAX_NAMES = 256


class Named:
    """An expression whose every match begins with a name: it is tried only where one may begin."""

    def __init__(self, pattern: str, flags: re.RegexFlag) -> None:
        self.expression = re.compile(pattern, flags)

    def sub(self, replace: Callable[[re.Match[str]], str], text: str) -> str:
        """As `re.Pattern.sub`."""
        places = name_places(text)
        if places is None:
            return self.expression.sub(replace, text)
        parts: list[str] = []
        end = 0
        for place in places:
            if place >= end and (found := self.expression.match(text, place)) is not None:
                parts += (text[end:place], replace(found))
                end = found.end()
        return "".join((*parts, text[end:])) if parts else text


def name_places(text: str) -> list[int] | None:
    """Where names may begin, ascending; None where that is not known, or not worth it."""
    names = _find_names(text.lower(), True) if text.isascii() else None
    if names is None or len(names) > _MAX_NAMES:
        return None
    return sorted({place for index, start, _ in names for place in range(max(0, start - _LEADS[index]), start + 1)})


QUOTE = r"""(?:\\{0,8}["'])"""
#: A map or list up to three deep; with anything else in it, what is left of the line.
_STRINGS = r""""(?:[^"\\\n]|\\[^\n])*+" | '(?:[^'\\\n]|\\[^\n])*+'"""
_FLAT = rf"""[\[{{](?: [^\[\]{{}}"']++ | {_STRINGS} )*+[\]}}]"""
_NESTED = rf"""[\[{{](?: [^\[\]{{}}"']++ | {_STRINGS} | {_FLAT} )*+[\]}}]"""
_GROUP = rf"""[\[{{](?: [^\[\]{{}}"']++ | {_STRINGS} | {_NESTED} )*+(?:[\]}}]|\Z)"""
#: Opened and closed by a quote (escaped or not), a YAML block, a map or list, or what stands up to a separator.
VALUE = rf"""(?:
    [ubr]{{0,2}}\\{{1,8}}"[^"]*+(?:"|\Z) | [ubr]{{0,2}}\\{{1,8}}'[^']*+(?:'|\Z)
  | [ubr]{{0,2}}"(?:[^"\\]|\\.)*+(?:"|\\?\Z) | [ubr]{{0,2}}'(?:[^'\\]|\\.)*+(?:'|\\?\Z)
  | [|>][-+0-9]{{0,2}}[ \t]{{0,4}}(?:\n[ \t]++[^\n]*+)++ | \*{{3}}(?=/>)
  | [a-z_.]{{1,64}}\([^()\n]*+\)? | {_GROUP} [^\s,;&)}}\]"'<>]*+ | [\[{{][^\n]*+ | [^\s,;&)}}\]"'<>]++
)"""
NAMES = r"""(?:
    passwor[dt]s? | passwd | passphrase | adminpass | admin_pass | secrets? | tokens? | credentials?
  | (?:api|access|private|encryption|auth|account|hmac|master|signing|storage|fernet|shared)[_-]?key
  | session[_-]?(?:id|key) | signature | (?<![a-z])(?:pass|pwd|psk|otp)
)"""
#: `token: keystone.exception.InvalidToken` names an error and no token: two dots or more, letters only.
NOT_AN_ERROR = r"(?!(?<=token:\s)[a-z_]{1,80}(?:\.[a-z_]{1,80}){2,12}(?:[\s:,;)]|\Z))"
#: `tokens => generated 3338 bytes` is uWSGI's.
ASSIGNED = rf"""(?:
    {QUOTE}?\s{{0,4}}=>(?!\sgenerated\s\d)\s{{0,4}} | {QUOTE}?\s{{0,4}}:?[:=](?!>)\s{{0,4}}
  | {QUOTE}\s{{0,4}},\s{{0,4}}(?=[ubr]{{0,2}}\\{{0,8}}["'\[])
)"""
#: Behind a name: `=` or the like and a value; a quoted text, as `PASSWORD 'x'` of SQL or `Password("x")`; or a word
#: that looks random: `using password s3cr3tX for`.
KEYED = Named(
    rf"""(?P<name>{NAMES}(?:(?P<assigned>[a-z0-9_-]{{0,32}}{ASSIGNED})
      |(?:\s{{0,4}}\(\s{{0,4}}|\s{{1,4}}(?:(?:is|was|to|with|value)\s{{1,4}})?)(?P<quote>{QUOTE})?))
    (?(assigned){NOT_AN_ERROR}{VALUE}
      |(?(quote)[^"'\\]{{1,512}}|(?=[a-z_.-]{{0,64}}[0-9])(?=[0-9_.-]{{0,64}}[a-z])[a-z0-9._~+/=-]{{8,}}+))""",
    re.I | re.X | re.S,
)
#: A name and its value as two fields: OpenTelemetry's attributes, environments of Kubernetes.
PAIR = Named(
    rf"""(?P<name>(?:{NAMES}|authorization|cookie)[a-z0-9_.-]{{0,32}}{QUOTE}?\s{{0,16}},?\s{{0,16}}{QUOTE}?
    (?:string_?)?value{QUOTE}?\s{{0,4}}:\s{{0,4}}){VALUE}""",
    re.I | re.X | re.S,
)
KUBERNETES_SECRET = re.compile(rf"kind{QUOTE}?\s{{0,4}}:\s{{0,4}}{QUOTE}?Secret(?![A-Za-z])")
SECRET_DATA = re.compile(
    rf"""(?P<name>(?:stringD|(?<![A-Za-z])d)ata{QUOTE}?\s{{0,4}}:)
    (?:\s{{0,4}}\{{[^{{}}]*+\}}?|[ \t]*+(?:\n[ \t]++[^\n]*+)++)""",
    re.X,
)
XML = re.compile(
    rf"""(?P<name>(?:<|&lt;)[\w:.-]{{0,64}}?{NAMES}[\w:.-]{{0,32}}(?:\s[^<>&]{{0,256}})?(?:>|&gt;))[^<&]++(?=</|&lt;/|\Z)""",
    re.I | re.X,
)
OPTION = re.compile(
    r"(?P<name>--[a-z0-9-]{0,32}?(?:password|passwd|pass|token|secret|api-key|private-key)[a-z0-9-]{0,16}\s{1,4})"
    r"""(?:"[^"]*+"?|'[^']*+'?|\S+)""",
    re.IGNORECASE,
)
_ARGUMENT = r"""(?:"[^"]*+"?|'[^']*+'?|\S+)"""
#: `curl -u name:password`, and what other programs take as a single letter. Between a command and its option the
#: command does not stand again, so that each character is looked at once.
COMMAND = re.compile(
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
AUTH = re.compile(
    rf"""(?P<name>(?:requirepass|masterauth)\s{{1,4}}|(?<![A-Za-z_])AUTH["']?\s{{1,4}}(?:["']?(?:default|LOGIN|PLAIN)["']?\s{{1,4}})?)
    (?!(?:failed|error|ok)\b){_ARGUMENT}""",
    re.X,
)
QUERY = re.compile(
    r"(?P<name>[?&;](?:amp;)?(?:[a-z0-9_-]{0,24}sig|key|auth|jwt|sid|hmac)=)[^&;\s\"'<>]++", re.IGNORECASE
)
#: A header's value: up to the quote that closes it, else what is left of the line.
HEADER = re.compile(
    rf"""(?P<name>(?:authorization|cookie)(?:{QUOTE}?\s{{0,4}}[:=]|{QUOTE}\s{{0,4}},(?!\s{{0,4}}{QUOTE}value))\s{{0,4}}\[?(?:[ubr]?{QUOTE})?)
    (?: (?:digest|aws4|hawk|oauth)[^\r\n]*+
      | (?<=[^\\]")(?:[^"\\\r\n]|\\.)++ | (?<=[^\\]')(?:[^'\\\r\n]|\\.)++ | (?<=\\["'])[^"'\\\r\n]++
      | (?<!["'])(?:[^\r\n"']|(?<==)"[^"\r\n]*+")++ )""",
    re.I | re.X,
)
BEARER = re.compile(r"(?P<name>\bbearer\s{1,4})[A-Za-z0-9._~+/=-]{8,}+", re.IGNORECASE)
BASIC = re.compile(r"(?P<name>\bbasic\s{1,4})(?P<value>[A-Za-z0-9+/]{4,}+={0,2})", re.IGNORECASE)
#: The password may hold anything but blanks and quotes; `host:9696/..` is not one.
#: Up to the last @, since it may hold some; possessive, or a line of `://://` would cost its length times 512.
URL = re.compile(
    r"""(?P<name>:(?:\\?/){2}[^\s/:@"']{0,128}:)(?=[^@]{1,512}+@)(?!\d{1,5}(?:[/?#\s,)]|\Z))"""
    r"""(?:[^\s"'@]{0,512}+@){1,16}+"""
)
IDENTIFIED = re.compile(
    rf"(?P<name>identified\s{{1,4}}(?:with\s{{1,4}}\S{{1,64}}\s{{1,4}})?(?:by|as)\s{{1,4}}(?:password\s{{1,4}})?){VALUE}",
    re.I | re.X | re.S,
)
LAST_WORD = re.compile(r"(?<![A-Za-z])[A-Za-z]{1,128}\Z")
#: How classes of exceptions are called.
CLASS = re.compile(
    r"(?:Invalid|Missing|Expired|Unsupported)[A-Z][A-Za-z]*"
    r"|[A-Z][A-Za-z]*(?:Error|Exception|NotFound|Expired|Failure|Failed|Required|Invalid|Denied|Disabled)"
)
LOOKS = re.compile(
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
KEY_LINE = re.compile(rf"{_MIXED}[A-Za-z0-9+/]{{60,76}}={{0,2}}")
KEY_REST = re.compile(r"[A-Za-z0-9+/]{1,76}={0,2}|[A-Za-z-]{3,24}: [^\n]{1,256}|")
ESCAPED = re.compile(r"\\u00([2-7][0-9A-Fa-f])")
PERCENT = re.compile(r"%[0-9A-Fa-f]{2}")
PERCENT_WORD = re.compile(
    r"""(?<![^\s"'<>])[^\s"'<>%]*+(?:%(?![0-9A-Fa-f]{2})[^\s"'<>%]*+)*+%[0-9A-Fa-f]{2}[^\s"'<>]*+"""
)
ODD_ESCAPES = frozenset(("22", "5c", "5C"))
DESCRIBED = re.compile(
    r"(?:name|type|count|len|length|size|expir\w*|ttl|path|file|ref|policy|method|version|format|ur[il]|host|enabled"
    r"|required|provider)s?\Z",
    re.IGNORECASE,
)
SECRET_NAME = re.compile(rf"{NAMES}|authorization|cookie|(?:\A|[_.-])auth\Z", re.I | re.X)
SECRET_NUMBER = re.compile(r"(?:passwor[dt]|passwd|passphrase|passcode|secret|otp)\Z", re.IGNORECASE)
