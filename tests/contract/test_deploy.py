"""docker-compose.yml, the Dockerfile and k8s/ say the same of every process, and what the code says."""

import inspect
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic_settings import BaseSettings

from moselle.generators.pages import service_modules, setting_rows
from moselle.stack.settings import EMBEDDED_SERVICES, GRPC_SERVICES, RECEIVER, service_arguments
from services.common.topics import SERVICES, STATEFUL_SERVICES
from services.placement.settings import PlacementSettings
from tests.contract.deployed import (
    BASE,
    COMPOSE,
    DOCKERFILE,
    KUSTOMIZATION,
    ROOT,
    compose_processes,
    deploy_files,
    dockerfile_targets,
    k8s_processes,
    patch,
    patched_container,
    prometheus_targets,
    resources,
    workloads,
)

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
HTTP_PORT, GRPC_PORT = 8080, 50051
every_file = pytest.mark.parametrize("path", deploy_files(), ids=lambda path: str(path.relative_to(ROOT)))


def variables() -> set[str]:
    """Every MOSELLE_* that some settings class reads."""
    values = [value for module in service_modules(ROOT, "settings") for value in vars(module).values()]
    kinds = [value for value in values if inspect.isclass(value) and issubclass(value, BaseSettings)]
    return {row[0].strip("`") for kind in kinds for row in setting_rows(kind)}


@pytest.mark.parametrize("process", EMBEDDED_SERVICES)
def test_what_runs_embedded_runs_deployed(process: str) -> None:
    """Each process of `moselle up` is in docker-compose.yml and k8s/, from its service's image and with its role."""
    service = process.partition("-")[0]
    role = service_arguments(process)[2:]
    composed, container = compose_processes()[process], k8s_processes()[process]
    assert composed["build"]["target"] == service
    assert (composed.get("command", []), container.get("args", [])) == (role, role)
    assert container["image"] == f"moselle/{service}"


def test_the_ways_to_deploy_agree_on_the_processes() -> None:
    """docker-compose.yml, k8s/ and Prometheus know the same ones, and of every service at least one."""
    names = sorted(compose_processes())
    assert sorted(k8s_processes()) == names
    assert set(prometheus_targets()) == {f"{name}:{HTTP_PORT}" for name in names}
    assert {name.partition("-")[0] for name in names} == set(SERVICES)


@pytest.mark.parametrize("service", [*SERVICES, "tools"])
def test_each_service_is_an_image_of_its_own(service: str) -> None:
    """It has what its extra asks for, no torch, and starts its module without the working folder in the import path."""
    targets = dockerfile_targets()
    begin, text = targets[service]
    assert begin == ("runtime" if service == "tools" else "service")
    assert f"COPY --from={service}-dependencies /opt/venv /opt/venv" in text
    assert f"'.[{service}]'" in targets[f"{service}-dependencies"][1]
    assert not any("torch" in need for need in PROJECT["optional-dependencies"][service])
    module = "moselle" if service == "tools" else f"services.{service}"
    assert f'ENTRYPOINT ["python", "-P", "-m", "{module}"]' in text


def test_images_run_without_root() -> None:
    """The user has a number, so that Kubernetes can see that it is not root."""
    assert re.findall(r"^USER (.+)$", DOCKERFILE, re.MULTILINE) == ["10001:10001"]
    assert patch("pod.yaml")["spec"]["template"]["spec"]["securityContext"]["runAsUser"] == 10001


@every_file
def test_every_setting_exists(path: Path) -> None:
    """No MOSELLE_* is set that nothing reads."""
    used = set(re.findall(r"\bMOSELLE_[A-Z0-9_]*[A-Z0-9]", path.read_text()))
    assert used <= variables()


@every_file
def test_no_secret_and_no_moving_tag(path: Path) -> None:
    """Passwords come from the environment or a Secret, and no image is `latest`."""
    text = path.read_text()
    assert ":latest" not in text
    assert re.findall(r"(?m)^\s*[\w-]*password[\w-]*\s*[:=][ \t]*(?!\$\{)\S+", text, re.IGNORECASE) == []
    assert re.findall(r"://[^\s:/]+:(?!\$[{(])[^\s/]+@", text) == []


def test_k8s_takes_its_secret_from_the_cluster() -> None:
    """The base holds no Secret; who writes history reads the DSN from one, the receiver its tokens."""
    assert workloads("Secret") == {}
    tokens = k8s_processes()[RECEIVER]["env"][0]["valueFrom"]["secretKeyRef"]
    assert tokens == {"name": "moselle-receiver", "key": "tokens"}
    for name in ("features-history", "migrate"):
        container = workloads("StatefulSet", "Job")[name]["spec"]["template"]["spec"]["containers"][0]
        assert container["env"][0]["valueFrom"]["secretKeyRef"] == {"name": "moselle-database", "key": "dsn"}


def test_images_carry_the_projects_version() -> None:
    """Ours in docker-compose.yml and in the kustomization; Kafka's is the one that the embedded stack runs."""
    ours = {about["image"] for about in COMPOSE["services"].values() if "build" in about}
    assert ours == {f"moselle/{name}:{PROJECT['version']}" for name in [*SERVICES, "tools"]}
    assert {f"{image['name']}:{image['newTag']}" for image in KUSTOMIZATION["images"]} == ours
    pom = (ROOT / "moselle" / "stack" / "pom.xml").read_text()
    assert COMPOSE["services"]["kafka"]["image"].partition(":")[2] in re.findall(r"<version>(.+)</version>", pom)


def test_compose_listens_on_this_host_only() -> None:
    """Every published port is on 127.0.0.1, and gRPC's leads to where the images answer."""
    ports = {name: about["ports"] for name, about in COMPOSE["services"].items() if "ports" in about}
    assert all(port.startswith("127.0.0.1:") for published in ports.values() for port in published)
    published = {name for name, ports in ports.items() if any(port.endswith(f":{GRPC_PORT}") for port in ports)}
    assert published == set(GRPC_SERVICES)


def test_ports_agree() -> None:
    """Health and metrics, and gRPC, have the same port in the images and in k8s/."""
    assert set(re.findall(r"MOSELLE_HTTP_PORT=(\d+)", DOCKERFILE)) == {str(HTTP_PORT)}
    assert set(re.findall(r"MOSELLE_GRPC_PORT=(\d+)", DOCKERFILE)) == {str(GRPC_PORT)}
    assert patched_container("process.yaml")["ports"] == [{"name": "http", "containerPort": HTTP_PORT}]
    for name in GRPC_SERVICES:
        assert k8s_processes()[name]["ports"] == [{"name": "grpc", "containerPort": GRPC_PORT}]
        assert workloads("Service")[name]["spec"]["ports"][0]["port"] == GRPC_PORT


def test_the_receiver_answers_where_it_is_looked_for() -> None:
    """On OTLP's port, in the image, in docker-compose.yml and in k8s/."""
    ports = re.findall(r"MOSELLE_INGEST_RECEIVER_PORT=(\d+)", DOCKERFILE)
    assert COMPOSE["services"][RECEIVER]["ports"] == [f"127.0.0.1:{ports[0]}:{ports[0]}"]
    assert k8s_processes()[RECEIVER]["ports"] == [{"name": "receiver", "containerPort": int(ports[0])}]
    service = workloads("Service")[RECEIVER]["spec"]["ports"][0]
    assert (service["port"], service["targetPort"]) == (int(ports[0]), "receiver")


def test_probes_ask_what_operations_says() -> None:
    """Alive by /healthz, ready by /readyz; a container alone looks at the first, docker-compose.yml at the second."""
    container = patched_container("process.yaml")
    paths = {name: container[name]["httpGet"]["path"] for name in ("startupProbe", "livenessProbe", "readinessProbe")}
    assert paths == {"startupProbe": "/healthz", "livenessProbe": "/healthz", "readinessProbe": "/readyz"}
    assert "/healthz" in dockerfile_targets()["service"][1]
    assert all(
        f"127.0.0.1:{HTTP_PORT}/readyz" in about["healthcheck"]["test"][-1] for about in compose_processes().values()
    )


def test_members_of_a_group_keep_their_number() -> None:
    """Whoever joins a consumer group is a StatefulSet and takes its replica number from the pod's ordinal."""
    members = set(workloads("StatefulSet"))
    assert members >= {*STATEFUL_SERVICES, "features", "features-history"}
    assert set(workloads("Deployment")) == {*GRPC_SERVICES, RECEIVER}
    variable = patched_container("member.yaml")["env"][0]
    assert variable["name"] == "MOSELLE_REPLICA"
    assert variable["valueFrom"]["fieldRef"]["fieldPath"] == "metadata.labels['apps.kubernetes.io/pod-index']"


def test_each_process_may_be_moved_one_at_a_time() -> None:
    """A disruption budget for each, that selects its pods."""
    budgets = workloads("PodDisruptionBudget")
    assert {
        name: one["spec"]["selector"]["matchLabels"]["app.kubernetes.io/name"] for name, one in budgets.items()
    } == {name: name for name in k8s_processes()}


def test_selectors_match_their_pods() -> None:
    """An object selects the pods that it makes."""
    for name, one in workloads("StatefulSet", "Deployment").items():
        assert one["spec"]["selector"]["matchLabels"] == one["spec"]["template"]["metadata"]["labels"]
        assert one["spec"]["selector"]["matchLabels"] == {"app.kubernetes.io/name": name}


def test_nothing_in_the_base_is_forgotten() -> None:
    """Every file of k8s/base/ is named in its kustomization, and all objects have different names within a kind."""
    named = {*KUSTOMIZATION["resources"], *(patch["path"] for patch in KUSTOMIZATION["patches"]), "settings.env"}
    files = {str(path.relative_to(BASE)) for path in BASE.rglob("*") if path.is_file()}
    assert files == named | {"kustomization.yaml"}
    names = [(one["kind"], one["metadata"]["name"]) for one in resources()]
    assert len(names) == len(set(names))


def test_the_facade_answers_where_novacron_looks() -> None:
    """On port 8095 in docker-compose.yml and in the component of k8s/, and nowhere by itself."""
    component = {
        about["kind"]: about
        for name in ("placement.yaml", "facade.yaml")
        for about in yaml.safe_load_all((ROOT / "k8s" / "novacron" / name).read_text())
    }
    (container,) = component["Deployment"]["spec"]["template"]["spec"]["containers"]
    environment = COMPOSE["services"]["placement"]["environment"]
    assert {each["name"]: each["value"] for each in container["env"]}.items() <= {
        name: str(value) for name, value in environment.items()
    }.items()
    assert container["ports"] == [{"name": "facade", "containerPort": 8095}]
    assert component["Service"]["spec"]["ports"][0]["targetPort"] == "facade"
    assert "127.0.0.1:8095:8095" in COMPOSE["services"]["placement"]["ports"]
    assert PlacementSettings().facade_port is None


def scheduler_component() -> dict[str, list[dict[str, Any]]]:
    """The objects of k8s/scheduler/ by kind, the scheduler's own file among them."""
    folder = ROOT / "k8s" / "scheduler"
    found: dict[str, list[dict[str, Any]]] = {}
    for path in sorted(folder.glob("*.yaml")):
        for one in yaml.safe_load_all(path.read_text()):
            found.setdefault(one["kind"], []).append(one)
    return found


def test_the_extender_answers_where_the_scheduler_asks() -> None:
    """Three replicas behind the Service that the scheduler's file names, with the port that they listen on."""
    component = scheduler_component()
    (service,), (deployment,) = component["Service"], component["Deployment"]
    pod = deployment["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    environment = {one["name"]: one["value"] for one in container["env"]}
    port = int(environment["MOSELLE_PLACEMENT_EXTENDER_PORT"])
    (extender,) = component["KubeSchedulerConfiguration"][0]["extenders"]
    assert (
        extender["urlPrefix"]
        == f"http://{service['metadata']['name']}.moselle.svc:{service['spec']['ports'][0]['port']}"
    )
    assert container["ports"] == [{"name": "extender", "containerPort": port}]
    assert service["spec"]["ports"][0]["targetPort"] == "extender"
    assert service["spec"]["selector"] == {"app.kubernetes.io/name": deployment["metadata"]["name"]}
    assert deployment["spec"]["replicas"] == 3
    assert PlacementSettings().extender_port is None


def test_a_scheduler_never_waits_for_the_extender_nor_stops_without_it() -> None:
    """Names only, `ignorable`, and a time-out well above our own deadline; only verbs that are answered."""
    (extender,) = scheduler_component()["KubeSchedulerConfiguration"][0]["extenders"]
    assert extender["ignorable"] is extender["nodeCacheCapable"] is True
    assert float(extender["httpTimeout"].removesuffix("ms")) >= 2 * PlacementSettings().extender_deadline_ms
    verbs = {value for name, value in extender.items() if name.endswith("Verb")}
    assert verbs <= {"filter", "prioritize", "preempt", "bind"}


def test_placement_may_read_what_it_watches_and_nothing_else() -> None:
    """The account of the pods has the role, and the role writes nothing."""
    component = scheduler_component()
    (account,), (role,), (binding,) = (
        component[kind] for kind in ("ServiceAccount", "ClusterRole", "ClusterRoleBinding")
    )
    assert role["rules"] == [{"apiGroups": [""], "resources": ["nodes", "pods"], "verbs": ["list", "watch"]}]
    assert binding["roleRef"]["name"] == role["metadata"]["name"]
    assert binding["subjects"][0]["name"] == account["metadata"]["name"]
    pod = component["Deployment"][0]["spec"]["template"]["spec"]
    assert pod["serviceAccountName"] == account["metadata"]["name"]


def test_the_component_for_a_scheduler_names_its_files() -> None:
    """All but the scheduler's own."""
    folder = ROOT / "k8s" / "scheduler"
    named = yaml.safe_load((folder / "kustomization.yaml").read_text())
    files = {*named["resources"], *(one["path"] for one in named["patches"])}
    assert files | {"kustomization.yaml", "scheduler-config.yaml"} == {path.name for path in folder.iterdir()}
