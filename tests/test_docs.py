"""What the pages in docs/ show, runs and prints what they say; what they point to is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
PAGES = sorted(DOCS.glob("*.md"))
PICTURES = sorted((DOCS / "pictures").iterdir())
#: An example, and what it prints where the page says so.
EXAMPLE = re.compile(r"^```python\n(.*?)^```\n(?:\n```text\n(.*?)^```)?", re.DOTALL | re.MULTILINE)
LINK = re.compile(r"\]\(([^)\s]+)\)")


def anchors(page: Path) -> set[str]:
    """A page's headings as links name them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def links(page: Path) -> list[str]:
    return [link for link in LINK.findall(page.read_text(encoding="utf-8")) if not link.startswith("http")]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_examples_run_and_print_what_the_page_says(
    page: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    pytest.importorskip("skimage")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(DOCS)
    torch.manual_seed(0)
    examples = EXAMPLE.findall(page.read_text(encoding="utf-8"))
    assert examples
    names: dict[str, object] = {}
    for code, said in examples:
        exec(compile(code, str(page), "exec"), names)
        printed = capsys.readouterr().out
        if said:
            assert printed.strip() == said.strip()


@pytest.mark.parametrize("page", [*PAGES, ROOT / "README.md"], ids=lambda page: page.stem)
def test_links_lead_somewhere(page: Path) -> None:
    for link in links(page):
        path, _, anchor = link.partition("#")
        target = page.parent / path if path else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_scripts_that_a_page_names_are_there(page: Path) -> None:
    for script in re.findall(r"python (docs/\S+\.py)", page.read_text(encoding="utf-8")):
        assert (ROOT / script).is_file(), script


def test_every_page_and_picture_is_reached_and_small() -> None:
    linked = {(page.parent / link.partition("#")[0]).resolve() for page in PAGES for link in links(page)}
    assert {page.resolve() for page in PAGES} <= linked | {(DOCS / "guide.md").resolve()}
    assert {picture.resolve() for picture in PICTURES} <= linked
    assert "docs/guide.md" in links(ROOT / "README.md")
    sizes = [picture.stat().st_size for picture in PICTURES]
    assert max(sizes) < 150_000
    assert sum(sizes) < 1_500_000
