"""A private certificate authority, and what it has signed: made anew by openssl for each server of the tests."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

__all__ = ["CLIENT_NAME", "write_certificates"]

CLIENT_NAME = "flowlet client"
_NEW_KEY = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes"
_AUTHORITY_USE = "keyUsage=critical,keyCertSign,cRLSign"
"""Python 3.13 verifies that an authority may sign, and that what it has signed names its key."""


def write_certificates(folder: Path) -> bool:
    """Write ``ca.pem``, and ``server`` and ``client`` as ``.pem`` and ``.key``; return whether openssl is here."""
    if not shutil.which("openssl"):
        return False
    authority = f"req -x509 {_NEW_KEY} -keyout ca.key -out ca.pem -days 2 -addext {_AUTHORITY_USE} -subj"
    _run(folder, authority, "/CN=Tests of Flowlet")
    _sign(folder, "server", "/CN=127.0.0.1", "subjectAltName = IP:127.0.0.1")
    _sign(folder, "client", f"/CN={CLIENT_NAME}", "extendedKeyUsage = clientAuth")
    return True


def _sign(folder: Path, name: str, subject: str, extension: str) -> None:
    (folder / f"{name}.ext").write_text(f"{extension}\nauthorityKeyIdentifier = keyid\n")
    _run(folder, f"req {_NEW_KEY} -keyout {name}.key -out {name}.csr -subj", subject)
    signing = f"x509 -req -in {name}.csr -out {name}.pem -days 2 -extfile {name}.ext"
    _run(folder, f"{signing} -CA ca.pem -CAkey ca.key -set_serial {2 if name == 'server' else 3}")


def _run(folder: Path, options: str, *more: str) -> None:
    subprocess.run(["openssl", *options.split(), *more], cwd=folder, check=True, capture_output=True)
