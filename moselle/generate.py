"""`python -m moselle.generate`: everything that is made from something else, by one command.

Writes the gRPC stubs, the typed records, and the pages about topics, settings, metrics,
features, factors, shapes and the command line.
`--check` writes nothing, shows the difference and exits 1 when there is one. `--publish` first keeps each changed
schema as a new version in proto/avro/versions/.
"""

import difflib
import sys
from collections.abc import Iterator
from pathlib import Path

import click

from moselle.generators import avro, evolution, factors, features, pages, shapes, stubs

ROOT = Path(__file__).parents[1]
#: Whole folders of generated files: what no generator makes any more is removed from them.
OWNED = stubs.GEN


def generated(root: Path) -> dict[Path, str]:
    """The text of every generated file, by its path from the root."""
    files: dict[Path, str] = {}
    made_by = (
        stubs.stubs, avro.records, pages.topic_pages, pages.settings_page, pages.metrics_page, pages.cli_page,
        features.features_page, factors.factors_page, shapes.shapes_page,
    )  # fmt: skip
    for make in made_by:
        files |= make(root)
    return files


def leftovers(root: Path, files: dict[Path, str]) -> list[Path]:
    """Files of the generated folder that no generator makes any more."""
    found = (path.relative_to(root) for path in (root / OWNED).rglob("*.py*") if "__pycache__" not in path.parts)
    return sorted(path for path in found if path not in files)


def differences(root: Path, files: dict[Path, str]) -> Iterator[str]:
    """Unified diffs from what lies in the tree to what would be written."""
    wanted: dict[Path, str] = files | {path: "" for path in leftovers(root, files)}
    for path, text in sorted(wanted.items()):
        there = (root / path).read_text() if (root / path).exists() else ""
        before, after = there.splitlines(), text.splitlines()
        yield from difflib.unified_diff(before, after, str(path), f"{path} as made now", n=1, lineterm="")
        if not there and not text and not (root / path).exists():
            yield f"{path} is missing"


def write(root: Path, files: dict[Path, str]) -> None:
    """Writes what changed and removes what is no longer made."""
    for path in leftovers(root, files):
        (root / path).unlink()
    for path, text in files.items():
        target = root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        if not target.exists() or target.read_text() != text:
            target.write_text(text)


@click.command(help="Make stubs, typed records and the generated pages of docs/ and proto/ again.")
@click.option("--check", is_flag=True, help="Write nothing; show what would change and exit 1 when anything would.")
@click.option("--publish", is_flag=True, help="First keep each changed schema as a new version.")
def main(check: bool, publish: bool) -> None:
    """Exit codes: 0 done, 1 stale or refused, 2 wrong usage."""
    try:
        if publish and not check:
            write_versions(ROOT)
        files = generated(ROOT)
    except (ValueError, RuntimeError) as error:
        raise click.ClickException(str(error)) from None
    if not check:
        write(ROOT, files)
        return
    changed = list(differences(ROOT, files))
    if changed:
        click.echo("\n".join(changed))
        raise click.ClickException("generated files are stale; run: make gen")


def write_versions(root: Path) -> None:
    """Publishes every changed schema, and says which."""
    for path, text in evolution.publish(root).items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
        click.echo(f"published {path}", file=sys.stderr)


if __name__ == "__main__":
    main()
