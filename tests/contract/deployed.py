"""The deploy files as data: what docker-compose.yml, the Dockerfile and k8s/ say of each process."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
BASE = ROOT / "k8s" / "base"

Json = dict[str, Any]

_VARIABLE = re.compile(r"\$\{(?P<name>\w+)(?:(?P<is_wanted>:\?)|:-)(?P<default>[^}]*)\}")

COMPOSE: Json = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
KUSTOMIZATION: Json = yaml.safe_load((BASE / "kustomization.yaml").read_text())
DOCKERFILE = (ROOT / "Dockerfile").read_text()


def compose_processes() -> dict[str, Json]:
    """The services of docker-compose.yml that go on running and are ours."""
    ours = {name: about for name, about in COMPOSE["services"].items() if "build" in about}
    return {name: about for name, about in ours.items() if about["build"]["target"] != "tools"}


def dockerfile_targets() -> dict[str, tuple[str, str]]:
    """The stage that each stage begins with, and its instructions."""
    stages = re.split(r"^FROM (\S+) AS (\S+)$", DOCKERFILE, flags=re.MULTILINE)[1:]
    return {name: (begin, text) for begin, name, text in zip(stages[::3], stages[1::3], stages[2::3], strict=True)}


def image_environment(target: str) -> dict[str, str]:
    """The MOSELLE_* that an image sets."""
    begin, text = dockerfile_targets().get(target, ("", ""))
    outer = image_environment(begin) if begin else {}
    return outer | dict(re.findall(r"(MOSELLE_\w+)=(\S+)", text))


def compose_environment(process: str, dotenv: Mapping[str, str]) -> dict[str, str]:
    """What a container of docker-compose.yml is started with.

    Args:
        dotenv: the variables of `.env`.
    """

    def value(found: re.Match[str]) -> str:
        return dotenv[found["name"]] if found["is_wanted"] else dotenv.get(found["name"], found["default"])

    about = compose_processes()[process]
    own = {name: _VARIABLE.sub(value, text) for name, text in about["environment"].items()}
    return image_environment(about["build"]["target"]) | own


def k8s_environment(
    process: str, secrets: Mapping[tuple[str, str], str], settings: Mapping[str, str]
) -> dict[str, str]:
    """What a container of k8s/base is started with, of the first pod.

    Args:
        secrets: by name and key. One that is missing stops the pod, unless it is optional.
        settings: what an overlay merges into settings.env.
    """
    container = k8s_processes()[process]
    lines = (BASE / "settings.env").read_text().splitlines()
    found = image_environment(container["image"].rpartition("/")[2])
    found |= dict(line.split("=", 1) for line in lines if line and not line.startswith("#")) | settings
    for variable in container.get("env", []):
        reference = variable["valueFrom"]["secretKeyRef"]
        key = reference["name"], reference["key"]
        if key in secrets or not reference.get("optional"):
            found[variable["name"]] = secrets[key]
    return found


def resources(folder: Path = BASE) -> list[Json]:
    """Every object that a folder's kustomization names, as it is written there."""
    names = yaml.safe_load((folder / "kustomization.yaml").read_text())["resources"]
    files = [folder / name for name in names if (folder / name).is_file()]
    return [one for path in files for one in yaml.safe_load_all(path.read_text())]


def workloads(*kinds: str) -> dict[str, Json]:
    """The base's objects of those kinds, by name."""
    return {one["metadata"]["name"]: one for one in resources() if one["kind"] in kinds}


def k8s_processes() -> dict[str, Json]:
    """The container of each process that goes on running."""
    found = workloads("StatefulSet", "Deployment")
    return {name: one["spec"]["template"]["spec"]["containers"][0] for name, one in found.items()}


def patch(name: str) -> Json:
    """A patch of the base."""
    loaded: Json = yaml.safe_load((BASE / "patches" / name).read_text())
    return loaded


def patched_container(name: str) -> Json:
    """What a patch says of the container."""
    container: Json = patch(name)["spec"]["template"]["spec"]["containers"][0]
    return container


def prometheus_targets() -> list[str]:
    """`process:port` of each that docker-compose.yml's Prometheus reads."""
    config = yaml.safe_load((ROOT / "k8s" / "prometheus" / "prometheus.yml").read_text())
    moselle = next(job for job in config["scrape_configs"] if job["job_name"] == "moselle")
    return [target for about in moselle["static_configs"] for target in about["targets"]]


def deploy_files() -> list[Path]:
    """All of them, for what must hold in each line."""
    named = [ROOT / name for name in ("docker-compose.yml", "Dockerfile", ".env.example")]
    return [*named, *sorted(path for path in (ROOT / "k8s").rglob("*") if path.suffix in (".yaml", ".yml", ".env"))]
