"""What `moselle setup` does: Java and Maven found or installed, the Kafka jars fetched."""

import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

from moselle.stack.java import INSTALL_HINT, find_java, jars_folder
from moselle.stack.postgres import find_binaries
from services.common.errors import SettingsInvalid

POM = Path(__file__).with_name("pom.xml")
STAMP = "pom.sha256"
#: Debian and Ubuntu carry one of these or both, by their release.
APT_JAVA = ("openjdk-17-jre-headless", "openjdk-21-jre-headless", "openjdk-25-jre-headless")

Say = Callable[[str], None]


def setup(say: Say) -> None:
    """Makes everything ready that pip does not bring; quick when nothing is missing.

    Raises:
        SettingsInvalid: something cannot be installed; says what to do.
    """
    find_binaries()
    if not has_java():
        install_with_apt(say)
    find_java()
    if not jars_are_current():
        if shutil.which("mvn") is None:
            install_with_apt(say)
        fetch_jars(say)


def has_java() -> bool:
    try:
        find_java()
    except SettingsInvalid:
        return False
    return True


def install_with_apt(say: Say) -> None:
    """Installs Java and Maven where we are root and there is apt.

    Raises:
        SettingsInvalid: we may not or cannot; names the exact command for each system.
    """
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        raise SettingsInvalid(f"Java 17 or later and Maven are needed for the embedded Kafka: {INSTALL_HINT}")
    say("installing Java and Maven with apt")
    apt("update")
    for package in APT_JAVA:
        if apt("install", "-y", "--no-install-recommends", package, "maven") == 0:
            return
    raise SettingsInvalid(f"apt could not install Java and Maven: {INSTALL_HINT}")


def apt(*arguments: str) -> int:
    """Its exit code; its words go nowhere, because the sentence that follows says what to do."""
    env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    return subprocess.run(["apt-get", "-qq", *arguments], env=env, check=False, capture_output=True).returncode


def jars_are_current() -> bool:
    """Whether the jars are there that the pom asks for."""
    stamp = jars_folder() / STAMP
    return stamp.is_file() and stamp.read_text() == pom_hash()


def pom_hash() -> str:
    return hashlib.sha256(POM.read_bytes()).hexdigest()


def fetch_jars(say: Say) -> None:
    """Fetches them with Maven, and puts them in place when all are there.

    Raises:
        SettingsInvalid: Maven failed; says with which words.
    """
    folder = jars_folder()
    say(f"fetching Kafka with Maven into {folder}")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as unfinished:
        jars = Path(unfinished, "jars")
        goal = ["dependency:copy-dependencies", "-DincludeScope=runtime", f"-DoutputDirectory={jars}"]
        done = subprocess.run(
            [shutil.which("mvn") or "mvn", "-q", "-B", "-f", POM, *goal], capture_output=True, text=True, check=False
        )
        if done.returncode:
            words = [line for line in (done.stdout + done.stderr).splitlines() if "ERROR" in line]
            raise SettingsInvalid(
                f"Maven cannot fetch Kafka ({words[0] if words else 'no reason given'}): check the network or the "
                "mirror in ~/.m2/settings.xml and try again; or set MOSELLE_KAFKA_JARS to a folder with the jars"
            )
        (jars / STAMP).write_text(pom_hash())
        shutil.rmtree(folder, ignore_errors=True)
        jars.replace(folder)
