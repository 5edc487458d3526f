"""Whose a line is: origin and program to entity and source id."""

from typing import NamedTuple

from services.common.entities import program_name, service_entity, split_service
from services.ingest.core.lines import Origin

UNKNOWN = "unknown"
_MEMO_SIZE = 10_000


class Source(NamedTuple):
    """The fields of a log event that say who wrote it."""

    entity_id: str
    parent_entity_ids: list[str]
    service_name: str
    host_name: str
    source_id: str
    pod_id: str


class Sources:
    """Remembers what was worked out for an (origin, program)."""

    def __init__(self) -> None:
        self._memo: dict[tuple[Origin, str], Source] = {}

    def of(self, origin: Origin, logger_program: str) -> Source:
        """The source of a line. The program is the file's, else the shipper's name for it, else the logger's."""
        found = self._memo.get((origin, logger_program))
        if found is None:
            if len(self._memo) >= _MEMO_SIZE:
                self._memo.clear()
            found = self._memo[origin, logger_program] = _source(origin, logger_program)
        return found


def _source(origin: Origin, logger_program: str) -> Source:
    # A pod's file is named after the pod; its container is the program.
    names = (origin.app, origin.path, logger_program) if origin.pod else (origin.path, origin.app, logger_program)
    program = next((program_name(name) for name in names if name), UNKNOWN)
    host = origin.host or UNKNOWN
    pods = [f"pod:{origin.pod}"] if origin.pod else []
    stated = split_service(origin.entity)
    if stated is not None:
        program = stated[0]
    source_id = f"{host}|{origin.path or program}"
    if origin.entity and stated is None:  # the object of a Kubernetes event
        parents = [f"host:{origin.host}"] if origin.host else []
        return Source(origin.entity, parents, program, host, source_id, origin.pod)
    entity = service_entity(program, host)
    return Source(entity.entity_id, pods + list(entity.parent_entity_ids), program, host, source_id, origin.pod)
