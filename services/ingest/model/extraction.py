"""From a line's words to its parameters, as one expression: it runs for every line, where loops cost a third more.

The expression is made of numbers only and compiled once for each arrangement of values.
"""

from collections.abc import Callable, Sequence
from functools import lru_cache

from services.ingest.model.masking import WILDCARD

#: (first word, word after the last, constant characters before, constant characters after).
Pick = tuple[int, int, int, int]
Extract = Callable[[Sequence[str]], list[str]]


def extractor(tokens: Sequence[str], spans: Sequence[tuple[int, int]]) -> Extract:
    """What `<*>` stands for in each token that has one, in order; several words with one blank between them.

    Args:
        tokens: of a template.
        spans: the words that each of them stands for.
    """
    picks = []
    for token, (first, last) in zip(tokens, spans, strict=True):
        before, wildcard, after = token.partition(WILDCARD)
        if wildcard:
            picks.append((first, last, len(before), len(after)))
    return _compiled(tuple(picks))


@lru_cache(4096)
def _compiled(picks: tuple[Pick, ...]) -> Extract:
    made: Extract = eval(f"lambda words: [{', '.join(map(_expression, picks))}]", {"__builtins__": {}})
    return made


def _expression(pick: Pick) -> str:
    first, last, before, after = pick
    words = f"words[{first:d}]" if last - first == 1 else f"' '.join(words[{first:d}:{last:d}])"
    return f"{words}[{before or '':}:{-after or '':}]" if before or after else words
