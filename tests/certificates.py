"""Certificates of a CA of the test's own, made by the openssl program."""

import subprocess
from pathlib import Path
from shutil import which

import pytest

needs_openssl = pytest.mark.skipif(
    which("openssl") is None, reason="openssl, which makes the certificates, is not installed"
)


def make_certificates(folder: Path, *names: str) -> None:
    """`ca.pem`, and for each name a `.key` and a `.pem` of that CA, good for 127.0.0.1."""

    def openssl(*arguments: str) -> None:
        subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)

    key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    openssl("req", "-x509", *key, "-keyout", "ca.key", "-out", "ca.pem", "-days", "2", "-subj", "/CN=it-ca")
    (folder / "names").write_text("subjectAltName=IP:127.0.0.1\n")
    for name in names:
        openssl("req", *key, "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", f"/CN={name}")
        openssl("x509", "-req", "-in", f"{name}.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial",
                "-out", f"{name}.pem", "-days", "2", "-extfile", "names")  # fmt: skip
