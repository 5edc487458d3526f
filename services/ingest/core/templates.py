"""Templates that programs give themselves, printf-style."""

import re

#: Of a template that a program gives, this much counts.
MAX_GIVEN_CHARS = 8192
_PLACEHOLDER = re.compile(r"%(?:\([^()\s]{1,64}\))?[#0\- +]{0,4}(?:\d{1,4}|\*)?(?:\.(?:\d{1,4}|\*))?[diouxXeEfFgGcrsa]")


def printf_template(template: str) -> str:
    """Its placeholders become `<*>`, its words stay, `%%` is `%`. Linear in its length."""
    return " ".join(_PLACEHOLDER.sub("<*>", template[:MAX_GIVEN_CHARS]).replace("%%", "%").split())
