"""Generated files are what their sources make, and do what they are for."""

import itertools
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import pytest
from google.protobuf.descriptor import FileDescriptor

from moselle.generate import ROOT, differences, generated, leftovers, write
from moselle.generators.avro import nested_records, read_schemas
from services.common.gen import records
from services.common.gen.moselle.features.v1 import features_pb2, features_pb2_grpc
from services.common.gen.moselle.placement.v1 import placement_pb2, placement_pb2_grpc
from tests.polling import TIMEOUT_SECONDS


@pytest.fixture(scope="module")
def files() -> dict[Path, str]:
    """Every generated file as it would be written now."""
    return generated(ROOT)


def test_nothing_generated_is_stale(files: dict[Path, str]) -> None:
    """Stubs, records and pages equal what `make gen` would write."""
    assert "\n".join(differences(ROOT, files)) == ""


def test_it_is_the_same_each_time(files: dict[Path, str]) -> None:
    """Making everything again gives the same bytes."""
    assert generated(ROOT) == files


def test_no_page_tells_of_this_machine(files: dict[Path, str]) -> None:
    """Neither the checkout's folder nor the home folder stands in a generated file."""
    told = [str(path) for path, text in files.items() if str(ROOT) in text or str(Path.home()) in text]
    assert told == []


def test_what_is_no_longer_made_is_shown_and_removed(tmp_path: Path, files: dict[Path, str]) -> None:
    """A stub whose .proto went is a difference, and goes with the next write."""
    write(tmp_path, files)
    assert list(differences(tmp_path, files)) == []
    old = tmp_path / "services/common/gen/old_pb2.py"
    old.write_text("OLD = 1\n")
    assert any("old_pb2.py" in line for line in differences(tmp_path, files))
    write(tmp_path, files)
    assert not old.exists()
    assert leftovers(tmp_path, files) == []


def test_a_changed_page_is_shown(tmp_path: Path, files: dict[Path, str]) -> None:
    """An edited generated file is a difference."""
    write(tmp_path, files)
    (tmp_path / "docs/topics.md").write_text("edited by hand\n")
    assert any(line.startswith("-edited by hand") for line in differences(tmp_path, files))


def test_a_typed_record_has_its_schemas_fields() -> None:
    """Each Avro record is a TypedDict; a field with a default need not be written."""
    for schema in read_schemas(ROOT).values():
        for record in nested_records(schema):
            typed = getattr(records, record["name"])
            assert list(typed.__annotations__) == [field["name"] for field in record["fields"]]
            assert typed.__optional_keys__ == {field["name"] for field in record["fields"] if "default" in field}


@pytest.mark.parametrize("file", [placement_pb2.DESCRIPTOR, features_pb2.DESCRIPTOR], ids=lambda file: file.name)
def test_a_proto_lies_where_its_package_says(file: FileDescriptor) -> None:
    """Folders equal the package, version last."""
    assert file.package.replace(".", "/") == str(Path(file.name).parent)


@pytest.mark.parametrize("path", sorted((ROOT / "proto" / "moselle").rglob("*.proto")), ids=lambda path: path.name)
def test_every_field_and_value_of_a_proto_says_what_it_means(path: Path) -> None:
    """Above each message, enum, rpc, field and value stands a comment."""
    lines = [line.strip() for line in path.read_text().splitlines()]
    code = [pair for pair in itertools.pairwise(lines) if pair[1] and pair[1][0] not in "/}"]
    silent = [line for before, line in code if not before.startswith("//")]
    assert [line for line in silent if not line.startswith(("syntax", "package"))] == []


def test_a_service_offers_what_its_contract_names() -> None:
    """Clients and servers have a method for each rpc."""
    placement = {"Place", "PlaceBatch", "Score", "Explain", "WatchDecisions", "Confirm", "Release"}
    assert placement <= set(dir(placement_pb2_grpc.PlacementServicer))
    assert "GetFeatures" in dir(features_pb2_grpc.OnlineFeaturesServicer)


class OneVector(features_pb2_grpc.OnlineFeaturesServicer):
    """Answers each entity with the same vector."""

    def GetFeatures(
        self, request: features_pb2.GetFeaturesRequest, context: grpc.ServicerContext
    ) -> features_pb2.GetFeaturesResponse:
        vectors = [features_pb2.FeatureVector(entity_id=name, values=[0.25]) for name in request.entity_ids]
        return features_pb2.GetFeaturesResponse(names=["cpu_ratio"], vectors=vectors)


@pytest.fixture
def channel() -> Iterator[grpc.Channel]:
    """A connection to a server of the generated stubs, on a free port."""
    server = grpc.server(ThreadPoolExecutor(1))
    features_pb2_grpc.add_OnlineFeaturesServicer_to_server(OneVector(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield channel
    server.stop(None).wait()


def test_a_client_and_a_server_of_the_stubs_understand_each_other(channel: grpc.Channel) -> None:
    """What one asks for arrives, and so does the answer."""
    asked = features_pb2.GetFeaturesRequest(entity_ids=["host:compute-1", "host:compute-2"])
    answer = features_pb2_grpc.OnlineFeaturesStub(channel).GetFeatures(asked, timeout=TIMEOUT_SECONDS)
    assert [(vector.entity_id, list(vector.values)) for vector in answer.vectors] == [
        ("host:compute-1", [0.25]),
        ("host:compute-2", [0.25]),
    ]
