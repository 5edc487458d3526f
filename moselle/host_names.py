"""Host names in what the tools publish: as they are, or the pseudonyms that ingest writes in their place."""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from moselle.mask_keys import Decorator, key_options

if TYPE_CHECKING:
    from services.ingest.core.privacy import Privacy

Json = dict[str, Any]
#: With which key host names become pseudonyms.
mask_options: Decorator = key_options(
    "The file that holds it: host names become pseudonyms. [default: what MOSELLE_INGEST_MASK_HOSTS and "
    "MOSELLE_INGEST_MASK_KEY say, as for ingest]"
)


class HostNames:
    """Translates the names of hosts in entities; without a key they stay.

    Args:
        privacy: what masks host names, with the key that ingest has.
    """

    def __init__(self, privacy: "Privacy | None" = None) -> None:
        self._privacy = privacy

    def entity(self, entity_id: str) -> str:
        """`host:compute-1`, `service:nova-api@compute-1` and their kin; a pseudonym stays."""
        return entity_id if self._privacy is None else self._privacy.entity(entity_id)

    def inventory(self, records: Iterable[Json]) -> list[Json]:
        """Entity records without times. Aliases name hosts, but for those in `programs`, which is left out."""
        records = list(records)
        if self._privacy is not None:
            for record in records:
                for entity_id in (record["entity_id"], *record["parent_entity_ids"]):
                    self._privacy.learn(entity_id)
        return [self._translated(record) for record in records]

    def _translated(self, record: Json) -> Json:
        entity_id = self.entity(record["entity_id"])
        labels, aliases = record["labels"], record["aliases"]
        if self._privacy is not None:
            labels = self._privacy.attributes(labels)
            aliases = [alias if alias in record["programs"] else self._privacy.host(alias) for alias in aliases]
        return {
            **{field: value for field, value in record.items() if field != "programs"},
            "entity_id": entity_id, "name": entity_id.partition(":")[2], "labels": labels,
            "parent_entity_ids": [self.entity(parent) for parent in record["parent_entity_ids"]],
            "aliases": aliases,
        }  # fmt: skip


def host_names(key_env: str | None, key_file: Path | None, key_id: str) -> HostNames:
    """By the named key, else by ingest's settings in the environment.

    Raises:
        UsageError: two keys are named.
        SettingsInvalid: there is no such key, it is too short, or a setting of ingest is wrong.
    """
    from moselle.anonymizing import read_key
    from services.common.settings import read_settings
    from services.ingest.core.privacy import Privacy, make_privacy
    from services.ingest.core.pseudonyms import HOST
    from services.ingest.settings import IngestSettings

    if key_env and key_file:
        raise click.UsageError("give --key-env or --key-file, not both")
    key = read_key(key_env, key_file)
    if key is not None:
        return HostNames(Privacy([HOST], key, key_id))
    settings = read_settings(IngestSettings)
    return HostNames(make_privacy(settings) if settings.mask_hosts else None)
