"""How well mined templates agree with the true ones: GA, PA, FGA and FTA.

A line counts in GA when its mined group holds exactly the lines of its true group; in PA when its template's text is
the true one. FGA and FTA are the same over templates, not lines: the harmonic mean of precision (over mined templates)
and recall (over true ones), where a template is right in FTA when all lines of its group have that text as their true
one.

Texts are compared after both went through the corrections of Khan et al. that say how a template is written: single
spaces, a number or a word with a `<*>` inside is `<*>`, as are several joined without a delimiter or by a point. Their
dictionary rules (`true`, `null`, `root`, `admin` as variables, paths as variables) are left out: the corrected truth
has had them already, and mined texts get no help from word lists.

Sources: GA: Zhu et al., ICSE-SEIP 2019. PA: Dai et al. (Logram), TSE 2020. FTA: Khan et al., ICSE 2022. FGA: Jiang et
al., ISSTA 2024; definitions as in its evaluator (logpai/loghub-2.0, benchmark/logparser/utils/evaluator.py and
benchmark/evaluation/utils), templates told apart by their texts as there.
"""

import re
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

_DELIMITER = re.compile(r"([\s,!;:=|\"'\[\](){}.\-+@#$%&])")
_WORD_WITH_VARIABLE = re.compile(r"[^\s/]*<\*>[^\s/]*")
_NUMBER = re.compile(r"\d+")
_JOINED = re.compile(r"<\*>(?:\.?<\*>)+")


class Scores(NamedTuple):
    """Each from 0 to 1; high is good."""

    GA: float
    PA: float
    FGA: float
    FTA: float


def corrected(template: str) -> str:
    """A template as the corrections write it. The same again when it is written so."""
    words = _DELIMITER.split(" ".join(template.split()))
    return _JOINED.sub("<*>", "".join(map(_corrected_word, words)))


def scores(true: Sequence[str], mined: Sequence[str]) -> Scores:
    """All four.

    Args:
        true: the true template of every line.
        mined: the mined one, as many. The text tells templates apart, in both.

    Raises:
        ValueError: there are no lines, or not as many of one as of the other.
    """
    if not true or len(true) != len(mined):
        raise ValueError(f"{len(true)} true and {len(mined)} mined templates: as many of both are needed, and some")
    true_sizes, mined_sizes, pairs = Counter(true), Counter(mined), Counter(zip(true, mined, strict=True))
    same = [size for (one, other), size in pairs.items() if size == true_sizes[one] == mined_sizes[other]]
    text = {template: corrected(template) for template in {*true_sizes, *mined_sizes}}
    num_right = sum(size for (one, other), size in pairs.items() if text[one] == text[other])
    exact = Counter((text[one], text[other]) for one, other in pairs)
    groups = Counter(other for _, other in exact)
    num_templates_right = sum(one == other and groups[other] == 1 for one, other in exact)
    num_true_texts, num_mined_texts = len({text[one] for one in true_sizes}), len(groups)
    return Scores(
        sum(same) / len(true), num_right / len(true),
        _harmonic(len(same), len(mined_sizes), len(true_sizes)),
        _harmonic(num_templates_right, num_mined_texts, num_true_texts),
    )  # fmt: skip


def share_within(one: Sequence[str], other: Sequence[str]) -> float:
    """The share of lines whose group in `one` lies within a single group of `other`; both name each line's group."""
    sizes = Counter(one)
    groups = Counter(name for name, _ in set(zip(one, other, strict=True)))
    return sum(size for name, size in sizes.items() if groups[name] == 1) / len(one)


def _harmonic(num_right: int, num_mined: int, num_true: int) -> float:
    """2PR / (P + R) of P = right / mined, R = right / true."""
    return 2 * num_right / (num_mined + num_true)


def _corrected_word(word: str) -> str:
    if _NUMBER.fullmatch(word) or (word != "<*>/<*>" and _WORD_WITH_VARIABLE.fullmatch(word)):
        return "<*>"
    return word
