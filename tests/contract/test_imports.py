"""The import contracts in pyproject.toml hold, and catch an arrow that turns."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SERVICES = ("anomaly", "common", "features", "ingest", "logbert", "placement", "predictor")
ROOMS = ("__main__", "pipeline", "adapters", "model", "core", "settings", "errors", "metrics", "train")


def lint_imports(folder: Path) -> subprocess.CompletedProcess[str]:
    command = [Path(sys.executable).parent / "lint-imports", "--no-cache"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def importlinter_section() -> str:
    """Our contracts as they stand in pyproject.toml."""
    text = (ROOT / "pyproject.toml").read_text()
    return text[text.index("[tool.importlinter]") :]


@pytest.fixture
def small_tree(tmp_path: Path) -> Path:
    """A tree of our shape in which every room is there and empty."""
    packages = [tmp_path / "moselle", tmp_path / "services", *(tmp_path / "services" / name for name in SERVICES)]
    packages += [tmp_path / "services" / name / room for name in SERVICES[2:] for room in ROOMS[1:]]
    packages += [tmp_path / "services" / "anomaly" / "core", tmp_path / "services/common/gen/moselle"]
    packages += [tmp_path / "services/common/gen", tmp_path / "services/common/broker"]
    for package in packages:
        package.mkdir(parents=True, exist_ok=True)
        (package / "__init__.py").touch()
    for module in ("service", "http", "web", "settings", "broker/kafka"):
        (tmp_path / "services" / "common" / f"{module}.py").touch()
    (tmp_path / "pyproject.toml").write_text(importlinter_section())
    return tmp_path


def test_our_imports_follow_the_map() -> None:
    """Every import of the tree points the way that the map draws."""
    result = lint_imports(ROOT)
    assert result.returncode == 0, result.stdout[-3000:]


def test_a_tree_of_our_shape_without_imports_passes(small_tree: Path) -> None:
    """The contracts do not depend on which rooms are there."""
    result = lint_imports(small_tree)
    assert result.returncode == 0, result.stdout[-3000:] + result.stderr[-1000:]


@pytest.mark.parametrize(
    ("importer", "imported", "contract"),
    [
        ("services/ingest/core", "services.logbert.core", "Services meet only"),
        ("services/common", "services.ingest", "services on common"),
        ("services/ingest", "moselle", "services on common"),
        ("services/ingest/core", "services.ingest.adapters", "Rooms import downwards"),
        ("services/ingest/pipeline", "services.ingest.adapters", "Rooms import downwards"),
        ("services/logbert/adapters", "services.logbert.model", "Adapters take no decisions"),
        ("services/logbert/pipeline", "services.logbert.train", "never imports training"),
        ("services/logbert/model", "confluent_kafka", "Core and model know no network"),
        ("services/placement/pipeline", "services.common.gen.moselle", "touch gRPC stubs"),
    ],
)
def test_a_wrong_arrow_is_caught(small_tree: Path, importer: str, imported: str, contract: str) -> None:
    """One import that points the wrong way breaks the contract that forbids it."""
    (small_tree / importer / "__init__.py").write_text(f"import {imported}\n")
    result = lint_imports(small_tree)
    broken = [line for line in result.stdout.splitlines() if line.endswith("BROKEN")]
    assert result.returncode == 1
    assert any(contract in line for line in broken), result.stdout[-2000:]


def test_a_room_of_another_name_is_caught(small_tree: Path) -> None:
    """A service's module that is no room of the map breaks the contract on rooms."""
    (small_tree / "services" / "ingest" / "helpers.py").touch()
    result = lint_imports(small_tree)
    assert result.returncode == 1
    assert "helpers" in result.stdout
