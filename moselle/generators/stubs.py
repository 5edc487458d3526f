"""Messages and gRPC stubs in `services/common/gen/` from `proto/**/*.proto`."""

import importlib.resources
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path

from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet, MethodDescriptorProto
from grpc_tools import protoc

GEN = Path("services/common/gen")
#: protoc names modules by their .proto file; ours live below `services.common.gen`.
_IMPORT = re.compile(r"^(from|import) (?=(?:moselle|prometheus)\.)", re.MULTILINE)


def stubs(root: Path) -> dict[Path, str]:
    """Messages (`_pb2.py`, `.pyi`), the services of files that have some (`_pb2_grpc.py`, `.pyi`), their packages.

    Raises:
        RuntimeError: protoc refuses a file; it has said why on standard error.
    """
    protos = sorted(path.relative_to(root / "proto") for path in (root / "proto").rglob("*.proto"))
    with tempfile.TemporaryDirectory() as folder:
        descriptors = _compile(root / "proto", protos, Path(folder))
        files = dict(_read(Path(folder)))
    for file in descriptors.file:
        stub = GEN / _stub_path(file)
        if file.service:
            files[stub] = service_types(file)
        else:
            del files[stub.with_suffix(".py")]
    files |= {GEN / package / "__init__.py": "" for proto in protos for package in proto.parents if package.name}
    return files


def _compile(source: Path, protos: list[Path], out: Path) -> FileDescriptorSet:
    wellknown = importlib.resources.files("grpc_tools") / "_proto"
    described = out / "descriptors.bin"
    outputs = [f"--{kind}_out={out}" for kind in ("python", "pyi", "grpc_python")]
    arguments = ["protoc", f"-I{source}", f"-I{wellknown}", *outputs, f"--descriptor_set_out={described}"]
    if protoc.main([*arguments, *(str(path) for path in protos)]) != 0:
        raise RuntimeError(f"protoc refused a file of {source}; its message stands above; correct the file")
    return FileDescriptorSet.FromString(described.read_bytes())


def _read(out: Path) -> Iterator[tuple[Path, str]]:
    for path in sorted(out.rglob("*.py*")):
        yield GEN / path.relative_to(out), _IMPORT.sub(r"\1 services.common.gen.", path.read_text())


def _stub_path(file: FileDescriptorProto) -> Path:
    return Path(file.name).with_name(Path(file.name).stem + "_pb2_grpc.pyi")


def service_types(file: FileDescriptorProto) -> str:
    """The types of a file's clients and servers: what grpcio-tools leaves out."""
    module = Path(file.name).stem + "_pb2"
    package = ".".join(Path(file.name).parent.parts)
    lines = [
        "from collections.abc import Iterator",
        "",
        "import grpc",
        "",
        f"from services.common.gen.{package} import {module}",
    ]
    for service in file.service:
        lines += ["", f"class {service.name}Stub:", "    def __init__(self, channel: grpc.Channel) -> None: ..."]
        lines += [f"    {method.name}: {_client(method, module)}" for method in service.method]
        lines += ["", f"class {service.name}Servicer:"]
        lines += [f"    {_server(method, module)}" for method in service.method]
        lines += [
            "",
            f"def add_{service.name}Servicer_to_server(servicer: {service.name}Servicer, server: grpc.Server)"
            " -> None: ...",
        ]
    return "\n".join(lines) + "\n"


def _message(type_name: str, module: str) -> str:
    return f"{module}.{type_name.rpartition('.')[2]}"


def _client(method: MethodDescriptorProto, module: str) -> str:
    kind = f"{'Stream' if method.client_streaming else 'Unary'}{'Stream' if method.server_streaming else 'Unary'}"
    return f"grpc.{kind}MultiCallable[{_message(method.input_type, module)}, {_message(method.output_type, module)}]"


def _server(method: MethodDescriptorProto, module: str) -> str:
    asked, answer = _message(method.input_type, module), _message(method.output_type, module)
    asked = f"Iterator[{asked}]" if method.client_streaming else asked
    answer = f"Iterator[{answer}]" if method.server_streaming else answer
    return f"def {method.name}(self, request: {asked}, context: grpc.ServicerContext) -> {answer}: ..."
