"""What pyproject.toml cannot say: a wheel carries the Avro schemas of `proto/`, which lies outside the packages."""

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py


class BuildWithSchemas(build_py):
    """Copies `proto/avro/*.avsc` to where `services.common.codec` looks first. An editable install reads `proto/`."""

    def run(self) -> None:
        super().run()
        if not self.editable_mode:
            folder = Path(self.build_lib) / "services" / "common" / "proto" / "avro"
            folder.mkdir(parents=True, exist_ok=True)
            for schema in sorted(Path("proto/avro").glob("*.avsc")):
                shutil.copyfile(schema, folder / schema.name)


setup(cmdclass={"build_py": BuildWithSchemas})
