"""The artifacts that ship."""

from pathlib import Path

import pytest

from services.common.artifact import load_artifact

ROOT = Path(__file__).parents[2]
FOLDERS = sorted(path.parent for path in ROOT.glob("services/*/artifacts/*/manifest.json"))


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.parent.parent.name)
def test_a_shipped_artifact_is_whole_and_names_the_command_that_made_it(folder: Path) -> None:
    """Every file is as its manifest says."""
    artifact = load_artifact(folder, folder.parent.parent.name)
    assert artifact.command.startswith(f"moselle train {artifact.name}")


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.parent.parent.name)
def test_a_shipped_artifact_tells_nothing_of_the_machine_that_made_it(folder: Path) -> None:
    """Exporters like to note where their source files lie."""
    for path in folder.iterdir():
        assert b"site-packages" not in path.read_bytes(), path.name


def test_all_shipped_artifacts_together_stay_small() -> None:
    """Below 20 MB, for everybody who clones."""
    assert FOLDERS
    assert sum(path.stat().st_size for folder in FOLDERS for path in folder.iterdir()) < 20 * 2**20
