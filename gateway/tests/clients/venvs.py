"""Virtual environments for the clients: made once from pinned versions and kept in a cache.

The frameworks want other versions of the SDKs than the server has, and than each other.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path

import pytest

PINS = Path(__file__).parent / "pins"
PATIENCE = 900.0  # seconds for a slow index
_PIP = ("-m", "pip", "--quiet", "--disable-pip-version-check", "--no-input")


def python_with(client: str) -> str:
    """The interpreter of an environment with what `pins/{client}.txt` lists. Skips the test where
    there is none yet and no package index answers."""
    wanted = PINS / f"{client}.txt"
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    digest = hashlib.sha256(wanted.read_bytes() + version.encode()).hexdigest()[:12]
    place = _cache() / f"{client}-{digest}"
    place.mkdir(parents=True, exist_ok=True)
    with (place / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # tests may run in several processes
        if not (place / "complete").exists():
            _make(place / "venv", wanted)
            (place / "complete").touch()
    return str(place / "venv" / "bin" / "python")


def _cache() -> Path:
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home) / "byom-clients"


def _make(venv: Path, wanted: Path) -> None:
    if not _index_answers():
        pytest.skip("no package index answers, and the client's environment has to be made")
    subprocess.run([sys.executable, "-m", "venv", "--clear", venv], check=True, timeout=PATIENCE)
    python, pins = str(venv / "bin" / "python"), str(wanted)
    install = [python, *_PIP, "install", "--no-deps", "--requirement", pins]
    subprocess.run(install, check=True, timeout=PATIENCE)


@cache
def _index_answers() -> bool:
    with tempfile.TemporaryDirectory() as empty:
        asked = ("--timeout", "10", "--retries", "0", "--no-cache-dir", "--no-deps")
        probe = [sys.executable, *_PIP, "download", *asked, "--dest", empty, "idna"]
        return subprocess.run(probe, capture_output=True, timeout=PATIENCE).returncode == 0
