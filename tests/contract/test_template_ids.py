"""A template id outlives a better miner: what ingest writes, logbert resolves."""

from typing import Any

from services.common.broker.abstract import Output
from services.common.broker.memory import MemoryBroker
from services.common.codec import Codec
from services.common.topics import LOGS_TEMPLATES
from services.ingest.model.former import FORMER_VERSION
from services.ingest.model.miner import Miner
from services.logbert.adapters.aliases import TemplateAliases

OLD_ID = "ffffffffffffffff"
OLD: dict[str, Any] = {
    "template_id": OLD_ID, "text": "session closed for user <*>", "first_form": "session closed for user ann",
    "first_seen": 3, "miner_version": FORMER_VERSION, "alias_of": None, "aliases": [], "cluster": "default",
}  # fmt: skip


def publish(broker: MemoryBroker, codec: Codec, records: list[dict[str, Any]]) -> None:
    """As ingest puts them on the topic."""
    broker.publish([
        Output(LOGS_TEMPLATES.name, record["template_id"].encode(), codec.encode(LOGS_TEMPLATES.name, record))
        for record in records
    ])  # fmt: skip


def test_a_reader_that_kept_an_old_id_finds_the_template_of_now() -> None:
    """Its record is an alias from the first line on that the new miner meets; its texts are known."""
    broker, codec, miner = MemoryBroker({LOGS_TEMPLATES.name: 1}), Codec(), Miner()
    publish(broker, codec, [OLD])
    reader = TemplateAliases(broker, codec)
    assert reader.resolve(OLD_ID) == OLD_ID
    miner.load(OLD)
    new_id = miner.mine("session closed for user bob", 9)[0]
    publish(broker, codec, miner.take_changes())
    reader.refresh()
    assert reader.resolve(OLD_ID) == new_id != OLD_ID
    assert "session closed for user <*>" in reader.forms(OLD_ID)
    reader.close()
