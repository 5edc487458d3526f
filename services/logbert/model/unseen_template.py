"""A template at WARNING or above that the program never wrote before."""

from collections.abc import Callable
from typing import Literal

import msgspec

from services.common.alerts import Severity
from services.logbert.core.events import ERROR_NUMBER, WARNING_NUMBER, Alarm, Learning, LogEvent, Observation

#: On how many different days a WARNING must have been new until it counts as the program's way of speaking.
DAYS_TO_KNOW = 3
DAY = 86_400_000_000
WARNING_SCORE, ERROR_SCORE = 0.7, 0.9


class TemplateNews(msgspec.Struct):
    """Templates at WARNING or above: the known ones, and those that alerted with the days on which they did."""

    known: dict[str, None] = msgspec.field(default_factory=dict)
    days: dict[str, tuple[int, int]] = msgspec.field(default_factory=dict)


def _nothing(_: str) -> bool:
    return False


def _itself(template_id: str) -> str:
    return template_id


class UnseenTemplate:
    """Says nothing of a known warning that becomes frequent, nor of anything at INFO.

    After the warm-up a template becomes known only when it was new on DAYS_TO_KNOW different days, and only below
    ERROR: so a trouble does not teach itself.

    Args:
        is_known_elsewhere: whether another entity of the same program knows the template.
        resolve: the id that a template goes by since templates merged.
        max_templates: how many are kept; those unused for longest go.
    """

    rule, kind, threshold = "unseen_template", "novelty", 0.5
    reads: Literal["events", "pauses"] = "events"

    def __init__(
        self,
        is_known_elsewhere: Callable[[str], bool] = _nothing,
        resolve: Callable[[str], str] = _itself,
        max_templates: int = 1000,
    ) -> None:
        self._is_known_elsewhere = is_known_elsewhere
        self._resolve = resolve
        self._max_templates = max_templates
        self._news = TemplateNews()

    def score(self, seen: Observation) -> float:
        if not isinstance(seen, LogEvent) or seen.severity < WARNING_NUMBER or not seen.template_id:
            return 0.0
        if self.knows(seen.template_id) or self._is_known_elsewhere(seen.template_id):
            return 0.0
        return ERROR_SCORE if seen.severity >= ERROR_NUMBER else WARNING_SCORE

    def knows(self, template_id: str) -> bool:
        """Whether this entity has the template, under any id it ever had."""
        known = self._news.known
        if template_id in known:
            return True
        now = self._resolve(template_id)
        return now in known or any(self._resolve(other) == now for other in known)

    def explain(self, seen: Observation) -> Alarm:
        assert isinstance(seen, LogEvent)
        severity: Severity = "warning"
        level = "an ERROR" if seen.severity >= ERROR_NUMBER else "a WARNING"
        return Alarm(
            seen.event_time,
            severity,
            f"{seen.program} on {seen.host} writes {level} it never wrote before: {seen.body[:200]}",
            f"Template {seen.template_id} at {level[2:].strip()} is not among the {len(self._news.known)} that "
            f"{seen.program} has written at WARNING or above while things were normal. "
            "Read the line; if it is harmless, say so with `moselle feedback`.",
            (seen.evidence(),),
        )

    def learn(self, seen: Observation, learning: Learning) -> None:
        if not isinstance(seen, LogEvent) or seen.severity < WARNING_NUMBER or not seen.template_id:
            return
        template_id = seen.template_id
        if learning == "warm_up" or template_id in self._news.known or self.knows(template_id):
            self._remember(template_id)
        elif seen.severity < ERROR_NUMBER:
            self._count_day(template_id, seen.event_time // DAY)

    def _remember(self, template_id: str) -> None:
        """Puts it last in the order of use, and forgets the first when there are too many."""
        known = self._news.known
        known.pop(template_id, None)
        known[template_id] = None
        if len(known) > self._max_templates:
            del known[next(iter(known))]

    def _count_day(self, template_id: str, day: int) -> None:
        last, days = self._news.days.pop(template_id, (-1, 0))
        days += day != last
        if days >= DAYS_TO_KNOW:
            self._remember(template_id)
            return
        self._news.days[template_id] = (day, days)
        if len(self._news.days) > self._max_templates:
            del self._news.days[next(iter(self._news.days))]

    def save(self) -> bytes:
        return msgspec.msgpack.encode(self._news)

    def load(self, payload: bytes) -> None:
        self._news = msgspec.msgpack.decode(payload, type=TemplateNews)
