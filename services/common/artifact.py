"""A model's artifact: a folder that loads whole or not at all.

`manifest.json` says what the folder is, which files belong to it by size and hash, what it was trained on, by which
command, and what was measured. A file that is missing, cut short or of another artifact is found before anything is
served.
"""

import hashlib
import json
import os
import secrets
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from services.common.errors import ArtifactMismatch

MANIFEST = "manifest.json"
FORMAT = 1


@dataclass(frozen=True, slots=True)
class Artifact:
    """A loaded manifest, its files checked.

    Attributes:
        folder: where it lies.
        name: what the model is for, e.g. `logbert`.
        version: of the artifact: 12 hexadecimal digits of its files' hashes.
        settings: what the model needs to be built: sizes, thresholds, calibration.
        metrics: what training measured.
        data: fingerprint of the training data and where it is from.
        command: what made it.
    """

    folder: Path
    name: str
    version: str
    settings: Mapping[str, Any]
    metrics: Mapping[str, Any]
    data: Mapping[str, Any]
    command: str

    def path(self, file: str) -> Path:
        """A file of the artifact."""
        return self.folder / file


def load_artifact(folder: Path, name: str) -> Artifact:
    """The artifact in a folder, every file checked against its manifest.

    Raises:
        ArtifactMismatch: no manifest, another format or name, or a file that is missing or differs.
    """
    manifest = _read_manifest(folder)
    if manifest.get("format") != FORMAT or manifest.get("name") != name:
        raise ArtifactMismatch(
            f"{folder} holds an artifact of {manifest.get('name')!r} in format {manifest.get('format')!r}; wanted"
            f" {name!r} in format {FORMAT}: train it again with `moselle train {name}`"
        )
    try:
        files = dict(manifest["files"])
        for file, wanted in files.items():
            _check_file(folder, file, str(wanted), name)
        return Artifact(
            folder, name, _version(files), manifest["settings"], manifest["metrics"], manifest["data"],
            str(manifest["command"]),
        )  # fmt: skip
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ArtifactMismatch(
            f"{folder / MANIFEST} lacks {error}: train it again with `moselle train {name}`"
        ) from None


def _read_manifest(folder: Path) -> dict[str, Any]:
    path = folder / MANIFEST
    try:
        manifest = json.loads(path.read_bytes())
    except OSError as error:
        raise ArtifactMismatch(
            f"{path} cannot be read: {error.strerror}; name a folder that holds an artifact"
        ) from None
    except ValueError as error:
        raise ArtifactMismatch(f"{path} is broken ({error}): copy or train the artifact again") from None
    if not isinstance(manifest, dict):
        raise ArtifactMismatch(f"{path} is broken (not an object): copy or train the artifact again")
    return manifest


def _check_file(folder: Path, file: str, wanted: str, name: str) -> None:
    path = folder / file
    if Path(file).name != file:
        raise ArtifactMismatch(f"{folder / MANIFEST} names {file!r}, which is not a file of its folder")
    found = _hash_file(path) if path.is_file() else "missing"
    if found != wanted:
        raise ArtifactMismatch(
            f"{path} is {found[:12]}, its manifest wants {wanted[:12]}: copy the artifact again, or train it with"
            f" `moselle train {name}`"
        )


def write_artifact(
    folder: Path,
    name: str,
    write_files: Callable[[Path], None],
    settings: Mapping[str, Any],
    metrics: Mapping[str, Any],
    data: Mapping[str, Any],
    command: str,
) -> Artifact:
    """Writes an artifact beside `folder` and puts it in its place at once, so that no reader meets half of it.

    Args:
        write_files: fills a new, empty folder.
        settings, metrics, data, command: see `Artifact`; JSON values. No path of this machine belongs in them.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    fresh = folder.parent / f".{folder.name}-{secrets.token_hex(4)}"
    fresh.mkdir()
    try:
        write_files(fresh)
        files = {path.name: _hash_file(path) for path in sorted(fresh.iterdir())}
        manifest = {
            "format": FORMAT, "name": name, "version": _version(files), "command": command, "settings": settings,
            "metrics": metrics, "data": data, "files": files,
        }  # fmt: skip
        (fresh / MANIFEST).write_text(json.dumps(manifest, indent=2, sort_keys=True) + "\n", encoding="utf-8")
        _swap(fresh, folder)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    return load_artifact(folder, name)


def _swap(fresh: Path, folder: Path) -> None:
    old = folder.parent / f".{folder.name}-old-{secrets.token_hex(4)}"
    if folder.exists():
        os.replace(folder, old)
    os.replace(fresh, folder)
    shutil.rmtree(old, ignore_errors=True)


def fingerprint_files(paths: Mapping[str, Path]) -> str:
    """One hash over named files, for the data or code that an artifact was made of: 16 hexadecimal digits."""
    whole = hashlib.sha256()
    for name in sorted(paths):
        whole.update(f"{name}\0{_hash_file(paths[name])}\0".encode())
    return whole.hexdigest()[:16]


def _hash_file(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _version(files: Mapping[str, str]) -> str:
    return hashlib.sha256(json.dumps(sorted(files.items())).encode()).hexdigest()[:12]
