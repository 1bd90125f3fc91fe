"""Every snippet of the pages does what the page says, with the versions that are pinned."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from django.contrib.auth.models import User

from benchmarks.simulator.server import SimulatorThread
from credentials.tests.factories import CredentialFactory
from gateway.tests.clients.snippets import HOWTO, Snippet, snippets
from gateway.tests.clients.venvs import PINS, python_with
from gateway.tests.sdks import Place
from usage.models import UsageRecord

PAGES = sorted(path.stem.removeprefix("use-with-") for path in HOWTO.glob("use-with-*.md"))
PATIENCE = 300.0  # seconds: some frameworks take long to import on a busy machine


def run(
    snippet: Snippet, python: str, place: Place, home: Path
) -> subprocess.CompletedProcess[str]:
    """With nothing of this machine's in its environment but where to find programs."""
    environment = {
        "PATH": os.environ["PATH"], "HOME": str(home), "NO_PROXY": "*",
        "BYOM": place.url, "BYOM_TOKEN": place.token,
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",  # else it is fetched from GitHub
    }  # fmt: skip
    command = ["sh", "-c"] if snippet.language == "sh" else [python, "-c"]
    return subprocess.run(
        [*command, snippet.code], env=environment, cwd=home,
        capture_output=True, text=True, timeout=PATIENCE,
    )  # fmt: skip


def test_every_page_of_a_client_has_its_pinned_versions() -> None:
    pinned = sorted(path.stem for path in PINS.glob("*.txt"))

    assert len(PAGES) >= 9 and sorted([*pinned, "curl"]) == PAGES
    assert all(snippets(page) for page in PAGES)


def test_what_a_page_says_is_compared_with_what_is_printed() -> None:
    snippet = Snippet("python", "", "Paris…\n401 x\n")

    assert snippet.matches("Paris is the capital.\n401 x\n")
    assert not snippet.matches("Paris\n500 x") and not snippet.matches("in Paris\n401 x")


@pytest.mark.clients
@pytest.mark.slow
@pytest.mark.integration
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("page", PAGES)
def test_the_snippets_of_a_page_print_what_it_says(
    simulator: SimulatorThread, place: Place, alice: User, tmp_path: Path, page: str
) -> None:
    if page == "curl" and not shutil.which("curl"):
        pytest.skip("there is no curl")
    python = "" if page == "curl" else python_with(page)
    for provider in ("openai", "anthropic", "google"):
        CredentialFactory.create(owner=alice, provider=provider)

    for number, snippet in enumerate(snippets(page), 1):
        done = run(snippet, python, place, tmp_path)
        told = f"snippet {number}: {done.stdout}\n{done.stderr[-3000:]}"
        assert done.returncode == 0 and snippet.matches(done.stdout), told
    answered = UsageRecord.objects.filter(status="ok", surface="gateway", user=alice)
    assert answered.exists() and not answered.exclude(paid_by="user").exists()
