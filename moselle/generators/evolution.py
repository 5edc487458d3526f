"""Published versions of the Avro schemas, and the rule that lets services upgrade and roll back one at a time.

`proto/avro/versions/<name>/<n>.avsc` is what version n wrote. FULL compatibility: each version reads what the one
before it wrote, and the other way round. So a field may come when it has a default, go when it had one, and never
change its type.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from moselle.generators.avro import Json, read_schemas

VERSIONS = Path("proto/avro/versions")


def versions(root: Path, name: str) -> list[Json]:
    """The published versions of one schema, oldest first."""
    paths = sorted((root / VERSIONS / name).glob("*.avsc"), key=lambda path: int(path.stem))
    return [json.loads(path.read_text()) for path in paths]


def without_docs(schema: Any) -> Any:
    """The schema as far as bytes go: a better word in a doc needs no new version."""
    if isinstance(schema, list):
        return [without_docs(item) for item in schema]
    if isinstance(schema, dict):
        return {key: without_docs(value) for key, value in schema.items() if key != "doc"}
    return schema


def unpublished(root: Path) -> list[str]:
    """The schemas that differ from their last published version, or have none."""
    return [name for name, schema in read_schemas(root).items() if not _is_published(schema, versions(root, name))]


def _is_published(schema: Json, published: list[Json]) -> bool:
    return bool(published) and without_docs(published[-1]) == without_docs(schema)


def publish(root: Path) -> dict[Path, str]:
    """The files of the versions that are to be published now.

    Raises:
        ValueError: a schema is not compatible with its last version: nothing is published.
    """
    files = {}
    for name in unpublished(root):
        published, source = versions(root, name), root / "proto" / "avro" / f"{name}.avsc"
        problems = incompatibilities(published[-1], json.loads(source.read_text())) if published else []
        if problems:
            raise ValueError(f"{source.name} does not follow its version {len(published)}: {'; '.join(problems)}")
        files[VERSIONS / name / f"{len(published) + 1}.avsc"] = source.read_text()
    return files


def incompatibilities(old: Json, new: Json) -> list[str]:
    """Why one of the two could not read what the other wrote; empty when each can."""
    return list(_record_problems(old, new, new["name"]))


def _record_problems(old: Json, new: Json, where: str) -> Iterator[str]:
    if old["name"] != new["name"]:
        yield f"{where}: the record was named {old['name']}; keep that name"
    before = {field["name"]: field for field in old["fields"]}
    after = {field["name"]: field for field in new["fields"]}
    for name in sorted(after.keys() - before.keys()):
        if "default" not in after[name]:
            yield f"{where}.{name} is new and has no default; give it one"
    for name in sorted(before.keys() - after.keys()):
        if "default" not in before[name]:
            yield f"{where}.{name} is gone and had no default; keep it"
    for name in sorted(before.keys() & after.keys()):
        yield from _type_problems(before[name]["type"], after[name]["type"], f"{where}.{name}")


def _type_problems(old: Any, new: Any, where: str) -> Iterator[str]:
    if isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        for before, after in zip(old, new, strict=True):
            yield from _type_problems(before, after, where)
    elif isinstance(old, dict) and isinstance(new, dict) and old["type"] == new["type"] == "record":
        yield from _record_problems(old, new, where)
    elif isinstance(old, dict) and isinstance(new, dict) and old["type"] == new["type"] in ("array", "map"):
        inner = "items" if old["type"] == "array" else "values"
        yield from _type_problems(old[inner], new[inner], f"{where}[]")
    elif old != new:
        yield f"{where} changed its type from {_short(old)} to {_short(new)}; add a field with another name instead"


def _short(schema: Any) -> str:
    return json.dumps(without_docs(schema))[:80]
