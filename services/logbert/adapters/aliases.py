"""Which templates have merged and what each says: logs.templates.v1, read whole by every replica."""

from services.common.broker.abstract import Broker, Record
from services.common.codec import Codec
from services.common.errors import InvalidMessage
from services.common.topics import LOGS_TEMPLATES

#: A chain of merges longer than this is a circle.
MAX_STEPS = 16


class TemplateAliases:
    """The id that a template goes by now, and its texts. Reads on whenever `refresh` is called."""

    def __init__(self, broker: Broker, codec: Codec) -> None:
        self._codec = codec
        self._alias_of: dict[str, str] = {}
        self._texts: dict[str, tuple[str, ...]] = {}
        self._view = broker.open_view([LOGS_TEMPLATES.name], self._apply)
        self._view.refresh()

    def _apply(self, record: Record) -> None:
        try:
            template = self._codec.decode(record.value)
        except InvalidMessage:
            return  # a deleted or foreign record tells of no merge
        if not isinstance(template.get("template_id"), str):
            return
        self._texts[template["template_id"]] = tuple(dict.fromkeys((template["text"], template["first_form"])))
        if template.get("alias_of"):
            self._alias_of[template["template_id"]] = template["alias_of"]

    def refresh(self) -> None:
        """Takes in what was merged since."""
        self._view.refresh()

    def resolve(self, template_id: str) -> str:
        """The id to use instead, or the id itself."""
        for _ in range(MAX_STEPS):
            other = self._alias_of.get(template_id)
            if other is None:
                return template_id
            template_id = other
        return template_id

    def forms(self, template_id: str) -> tuple[str, ...]:
        """All texts of a template and of what it became, the latter's first; empty when none was published."""
        now = self.resolve(template_id)
        if now == template_id:
            return self._texts.get(template_id, ())
        return tuple(dict.fromkeys((*self._texts.get(now, ()), *self._texts.get(template_id, ()))))

    def close(self) -> None:
        """Stops reading."""
        self._view.close()
