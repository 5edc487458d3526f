"""Which templates have merged, as every replica reads it."""

from services.common.broker.abstract import Output
from services.common.broker.memory import MemoryBroker
from services.common.codec import Codec
from services.logbert.adapters.aliases import TemplateAliases


def publish(broker: MemoryBroker, codec: Codec, template_id: str, alias_of: str | None, text: str = "a <*>") -> None:
    """Ingest says what a template is called now."""
    template = {
        "template_id": template_id, "text": text, "first_form": "a b", "first_seen": 0, "miner_version": "m-1",
        "alias_of": alias_of, "aliases": [], "cluster": "cloud",
    }  # fmt: skip
    value = codec.encode("logs.templates.v1", template)
    broker.publish([Output("logs.templates.v1", template_id.encode(), value)])


def test_aliases_are_followed_and_read_on() -> None:
    """What merged before the start and what merges later, over several steps."""
    broker, codec = MemoryBroker({"logs.templates.v1": 1}), Codec()
    publish(broker, codec, "one", "two")
    aliases = TemplateAliases(broker, codec)
    assert aliases.resolve("one") == "two"
    publish(broker, codec, "two", "three")
    aliases.refresh()
    assert (aliases.resolve("one"), aliases.resolve("other")) == ("three", "other")
    aliases.close()


def test_a_template_has_all_the_texts_it_ever_had() -> None:
    """What it became first; nothing for one that was never published."""
    broker, codec = MemoryBroker({"logs.templates.v1": 1}), Codec()
    publish(broker, codec, "one", "two")
    aliases = TemplateAliases(broker, codec)
    assert (aliases.forms("one"), aliases.forms("two")) == (("a <*>", "a b"), ())
    publish(broker, codec, "two", None, text="<*> <*>")
    aliases.refresh()
    assert aliases.forms("one") == ("<*> <*>", "a b", "a <*>")


def test_a_circle_and_a_foreign_record_stop_nothing() -> None:
    """Bad input never stops a service."""
    broker, codec = MemoryBroker({"logs.templates.v1": 1}), Codec()
    broker.publish([Output("logs.templates.v1", b"x", b"no avro")])
    publish(broker, codec, "one", "two")
    publish(broker, codec, "two", "one")
    assert TemplateAliases(broker, codec).resolve("one") in ("one", "two")
