"""Whose a line is: origin and program to entity and source id."""

from collections.abc import Iterable
from sys import getsizeof
from typing import NamedTuple

from services.common.entities import program_name, service_entity, split_service
from services.ingest.core.lines import Origin

UNKNOWN = "unknown"
#: Origins that are remembered, bytes of them: some 20,000.
_MEMO_BYTES = 16 * 2**20
_TUPLES_BYTES = 400
#: Names of files that do not name a program: nginx/error.log is nginx'.
_SAYS_NOTHING = frozenset(("error", "access", "stdout", "stderr", "out", "err", "console", "current", "0"))
#: Files of syslog, whose lines name their program.
_WRITTEN_BY_MANY = frozenset(("syslog", "messages", "daemon", "auth", "secure", "kern", "user", "journal"))


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
        self._memo = _Memo()

    def of(self, origin: Origin, logger_program: str) -> Source:
        """The source of a line. The program is the file's, else the shipper's name for it, else the logger's."""
        return self._memo[origin, logger_program]

    def of_all(self, lines: Iterable[tuple[Origin, str]]) -> list[Source]:
        """The same for many lines."""
        return list(map(self._memo.__getitem__, lines))


class _Memo(dict[tuple[Origin, str], Source]):
    """Bounded by bytes."""

    def __init__(self) -> None:
        self._num_bytes = 0

    def __missing__(self, line: tuple[Origin, str]) -> Source:
        found = _source(*line)
        self._num_bytes += _TUPLES_BYTES + sum(map(getsizeof, line[0])) + sum(map(getsizeof, found))
        if self._num_bytes > _MEMO_BYTES:
            self.clear()
            self._num_bytes = 0
        self[line] = found
        return found


def _source(origin: Origin, logger_program: str) -> Source:
    host = origin.host or UNKNOWN
    stated = split_service(origin.entity)
    program = stated[0] if stated is not None else _program(origin, logger_program)
    source_id = f"{host}|{origin.path or program}"
    if origin.entity and stated is None:  # the object of a Kubernetes event
        parents = [f"host:{origin.host}"] if origin.host else []
        return Source(origin.entity, parents, program, host, source_id, origin.pod)
    entity = service_entity(program, host)
    pods = [f"pod:{origin.pod}"] if origin.pod else []
    return Source(entity.entity_id, pods + list(entity.parent_entity_ids), program, host, source_id, origin.pod)


def _program(origin: Origin, logger_program: str) -> str:
    """The file's program; of a file that says nothing, its folder's; of one that many write, the syslog tag's."""
    path, app = origin.path, origin.app
    file = program_name(path) if path else ""
    folder, _, _ = path.rpartition("/")
    if folder and file in _SAYS_NOTHING:
        file = program_name(folder)
    # A pod's file is named after the pod; its container is the program.
    is_app_first = bool(origin.pod) or file in _WRITTEN_BY_MANY
    names = (app, file, logger_program) if is_app_first else (file, app, logger_program)
    return next((program_name(name) for name in names if name), UNKNOWN)
