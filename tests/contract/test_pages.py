"""Pages for people point at things that are there."""

import re
from pathlib import Path

import pytest

from services.common.topics import SERVICES

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    [
        *ROOT.glob("*.md"),
        *(page for name in ("docs", "proto", "services", "k8s") for page in ROOT.glob(f"{name}/**/*.md")),
    ]
)
every_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


def slugs(page: Path) -> set[str]:
    """The anchors that a page's headings give it, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@every_page
def test_its_links_lead_somewhere(page: Path) -> None:
    """Each relative link names a file that is there, and each anchor a heading of it."""
    text = re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)
    links = [link for link in re.findall(r"\]\(([^)\s]+)\)", text) if "://" not in link]
    for link in links:
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), link
        assert not anchor or anchor in slugs(target), link


@pytest.mark.parametrize("service", [*SERVICES, "common"])
def test_every_service_has_its_page(service: str) -> None:
    """What a service reads, writes, keeps and does on failure stands in its README."""
    assert len((ROOT / "services" / service / "README.md").read_text()) > 500


@pytest.mark.parametrize("page", sorted((ROOT / "docs" / "decisions").glob("*.md")), ids=lambda page: page.name)
def test_a_decision_has_its_four_parts(page: Path) -> None:
    """Context, choice, what we gave up, how we would know it was wrong."""
    headings = re.findall(r"^## (.+)$", page.read_text(), re.MULTILINE)
    assert headings == ["Context", "Choice", "What we gave up", "How we would know it was wrong"]
    assert re.fullmatch(r"\d{3}-[a-z0-9-]+\.md", page.name)
