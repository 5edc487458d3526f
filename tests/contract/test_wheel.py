"""What an installed Moselle lacks, no service finds: the wheel carries everything that is no page and no test."""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = ("pyproject.toml", "setup.py", "README.md", "LICENSE", "moselle", "services", "proto")
BUILD = "import sys, setuptools.build_meta; print(setuptools.build_meta.build_wheel(sys.argv[1]))"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, made in a copy of the sources: the build leaves things behind."""
    folder, made = tmp_path_factory.mktemp("sources"), tmp_path_factory.mktemp("wheel")
    for name in SOURCES:
        source, ignore = ROOT / name, shutil.ignore_patterns("__pycache__", "*.egg-info")
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=ignore)
        else:
            shutil.copyfile(source, folder / name)
    command = [sys.executable, "-c", BUILD, str(made)]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return made / done.stdout.split()[-1]


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel as it lies in an environment."""
    folder = tmp_path_factory.mktemp("installed")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    return folder


def run_installed(installed: Path, folder: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """Python with the installed packages, in an empty folder, so that nothing of the repository is at hand."""
    env = {**os.environ, "PYTHONPATH": str(installed), "MOSELLE_KAFKA_BOOTSTRAP": "127.0.0.1:1"}
    env["MOSELLE_STARTUP_TIMEOUT_SECONDS"] = "0.1"
    command = [sys.executable, "-P", *arguments]
    return subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=False)


def test_it_carries_every_file_of_the_packages(wheel: Path) -> None:
    """Code, SQL, artifacts, demo data: whatever lies in services/ and moselle/, but the pages for people."""
    files = (path for name in ("services", "moselle") for path in (ROOT / name).rglob("*") if path.is_file())
    wanted = {str(path.relative_to(ROOT)) for path in files if "__pycache__" not in path.parts and path.suffix != ".md"}
    assert wanted - set(zipfile.ZipFile(wheel).namelist()) == set()


def test_it_carries_every_schema(wheel: Path) -> None:
    """The schemas of proto/ as they are now; their old versions are for the tests."""
    with zipfile.ZipFile(wheel) as archive:
        names = [name for name in archive.namelist() if name.endswith(".avsc")]
        assert len(names) == len(list((ROOT / "proto" / "avro").glob("*.avsc")))
        for name in names:
            assert archive.read(name) == (ROOT / "proto" / "avro" / Path(name).name).read_bytes()


def test_an_installed_service_finds_its_schemas(installed: Path, tmp_path: Path) -> None:
    """The codec reads those of the wheel."""
    code = "from services.common.codec import Codec, schema_folder; Codec(); print(schema_folder())"
    result = run_installed(installed, tmp_path, "-c", code)
    assert result.stdout.strip() == str(installed / "services" / "common" / "proto" / "avro"), result.stderr


def test_an_installed_service_starts_from_an_empty_folder(installed: Path, tmp_path: Path) -> None:
    """Without a Kafka it says so in one sentence and exits 1."""
    result = run_installed(installed, tmp_path, "-m", "services.ingest")
    assert result.returncode == 1
    assert result.stderr.strip().splitlines()[-1].startswith("moselle ingest: no Kafka answers at 127.0.0.1:1")
