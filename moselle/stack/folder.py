"""The state folder: what the embedded stack keeps between two runs, and the lock that makes it one stack's own."""

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from services.common.errors import SettingsInvalid

#: Of the folder's layout. A newer program that lays it out otherwise counts up.
VERSION = "1"
#: A log that is larger at the next start is put aside as `.1`.
MAX_LOG_BYTES = 10_000_000

Json = dict[str, Any]


class StackRuns(SettingsInvalid):
    """Another supervisor holds the folder."""


class StateFolder:
    """A folder that only its owner may enter: `VERSION`, `stack.json`, `status.json`, `logs/`, `kafka/`, `postgres/`.

    Args:
        path: made when it is not there.

    Raises:
        SettingsInvalid: it cannot be made, belongs to something else, or to another version of Moselle.
    """

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._check_version()
        except OSError as error:
            raise SettingsInvalid(
                f"the state folder {self.path} cannot be used ({error.strerror}): choose another one with --state"
            ) from None

    def _check_version(self) -> None:
        version = self.path / "VERSION"
        if not version.exists():
            if any(self.path.iterdir()):
                raise SettingsInvalid(
                    f"the folder {self.path} holds other things than Moselle's state: "
                    "choose an empty or a new folder with --state"
                )
            self.path.chmod(0o700)
            version.write_text(VERSION + "\n")
        seen = version.read_text(errors="replace").strip()
        if seen != VERSION:
            raise SettingsInvalid(
                f"the state folder {self.path} has version {seen[:20]!r}, this program reads {VERSION!r}: use the "
                "program that made it, or choose a new folder with --state and replay what you need"
            )

    @classmethod
    def existing(cls, path: Path) -> "StateFolder":
        """The folder of a stack that was started before; SettingsInvalid when there is none."""
        if not (path / "VERSION").exists():
            raise SettingsInvalid(f"no Moselle state in {path.absolute()}: start one with `moselle up --state {path}`")
        return cls(path)

    def log(self, name: str) -> Path:
        """The log of a child; a large one is put aside first."""
        log = self.path / "logs" / f"{name}.log"
        log.parent.mkdir(exist_ok=True)
        if log.exists() and log.stat().st_size > MAX_LOG_BYTES:
            log.replace(log.with_suffix(".log.1"))
        return log

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Held by the supervisor as long as it lives; the system lets go when it dies.

        Raises:
            StackRuns: another one holds it.
        """
        descriptor = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise StackRuns(f"a stack already runs in {self.path}") from None
            yield
        finally:
            os.close(descriptor)

    @property
    def is_running(self) -> bool:
        """Whether a supervisor holds the lock."""
        try:
            with self.lock():
                return False
        except StackRuns:
            return True

    def read(self, name: str) -> Json:
        """A JSON file of the folder; empty when it is not there."""
        try:
            loaded = json.loads((self.path / name).read_text())
        except FileNotFoundError:
            return {}
        except ValueError:
            raise SettingsInvalid(f"{self.path / name} is not JSON: remove it and try again") from None
        return loaded if isinstance(loaded, dict) else {}

    def write(self, name: str, content: Json) -> None:
        """Replaces a JSON file at once: a reader sees the old one or the new one. Only the owner may read it."""
        unfinished = self.path / f".{name}.{os.getpid()}"
        with os.fdopen(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            json.dump(content, file, indent=2)
        unfinished.replace(self.path / name)
