"""Finding Java 17 or later, and the Kafka jars."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from services.common.errors import SettingsInvalid

MIN_JAVA = 17
INSTALL_HINT = (
    "install it with `sudo apt-get install -y openjdk-17-jre-headless maven` (Debian, Ubuntu), "
    "`sudo dnf install -y java-21-openjdk-headless maven` (Fedora, RHEL) or `brew install openjdk maven` (macOS)"
)


def find_java() -> Path:
    """The java to run Kafka with: of JAVA_HOME, then of PATH, then Homebrew's, which is not on PATH.

    Raises:
        SettingsInvalid: there is none of version 17 or later; says how to install one.
    """
    home = os.environ.get("JAVA_HOME")
    on_path = shutil.which("java")
    candidates = [Path(home, "bin", "java")] if home else []
    candidates += [Path(on_path)] if on_path else []
    candidates += [Path(brew, "opt/openjdk/bin/java") for brew in ("/opt/homebrew", "/usr/local")]
    seen = [f"{java} is version {java_version(java)}" for java in candidates if java.exists()]
    for java in candidates:
        if java.exists() and java_version(java) >= MIN_JAVA:
            return java
    raise SettingsInvalid(f"Kafka needs Java {MIN_JAVA} or later ({', '.join(seen) or 'none found'}): {INSTALL_HINT}")


def java_version(java: Path) -> int:
    """Its major version, 0 when it does not say."""
    release = java.resolve().parent.parent / "release"
    if release.is_file():
        text = release.read_text(errors="replace")
    else:
        text = subprocess.run([java, "-version"], capture_output=True, text=True, check=False).stderr
    found = re.search(r'(?:JAVA_VERSION=|version )"(?:1\.)?(\d+)', text)
    return int(found[1]) if found else 0


def jars_folder() -> Path:
    """Where `make setup` puts the Kafka jars: MOSELLE_KAFKA_JARS, else inside the virtual environment."""
    named = os.environ.get("MOSELLE_KAFKA_JARS")
    return Path(named) if named else Path(sys.prefix, "share", "moselle", "kafka")


def find_jars() -> Path:
    """The folder of the Kafka jars. Raises SettingsInvalid when they are not there."""
    folder = jars_folder()
    if not any(folder.glob("kafka_2.13-*.jar")):
        raise SettingsInvalid(f"the Kafka jars are not in {folder}: run `make setup`, or `moselle setup` again")
    return folder
