"""The documents: pages that are generated are up to date, and links lead somewhere."""

from __future__ import annotations

import re
import unicodedata
from pathlib import Path

import pytest

from hermes_twisted.config.option import Group
from hermes_twisted.server.settings import options
from tests.conftest import ROOT
from tools.reference import PAGES, REFERENCE

DOCS = ROOT / "docs"
DOCUMENTS = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted(DOCS.rglob("*.md"))]
_FENCED = re.compile(r"^(```|~~~).*?^\1", re.MULTILINE | re.DOTALL)
_CODE = re.compile(r"`[^`\n]*`")
_LINK = re.compile(r"\[[^\]]*\]\(([^()\s]+)\)")
_HEADING = re.compile(r"^#+ +(.+?) *#*$", re.MULTILINE)
_MARKUP = re.compile(r"`|\*|\[([^\]]*)\]\([^)]*\)")


@pytest.mark.parametrize("name", PAGES)
def test_reference_is_up_to_date(name: str) -> None:
    """`make reference` makes these pages anew."""
    assert (REFERENCE / name).read_text(encoding="utf-8") == PAGES[name]()


def test_every_option_is_shown_once() -> None:
    """Below the group that its field names."""
    page = (REFERENCE / "options.md").read_text(encoding="utf-8")
    shown = re.findall(r"^\| `--([a-z-]+)`", page, re.MULTILINE)

    assert shown == [option.name for option in options()]
    assert re.findall(r"^## (.+)$", page, re.MULTILINE) == list(Group)


def links(text: str) -> list[str]:
    """Where the links of a page lead that stay within the project."""
    prose = _CODE.sub("", _FENCED.sub("", text))
    return [link for link in _LINK.findall(prose) if not re.match(r"[a-z]+:", link)]


def anchors(text: str) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them; mkdocs checks its own."""
    found: set[str] = set()
    for heading in _HEADING.findall(_FENCED.sub("", text)):
        plain = unicodedata.normalize("NFKC", _MARKUP.sub(r"\1", heading)).lower()
        found.add(re.sub(r"[^\w -]", "", plain).strip().replace(" ", "-"))
    return found


def problem(page: Path, link: str) -> str | None:
    """What is wrong with a *link* of *page*, if anything is."""
    name, _, anchor = link.partition("#")
    target = (page.parent / name).resolve() if name else page
    if not target.exists():
        return f"{link}: there is no such file"
    if anchor and anchor not in anchors(target.read_text(encoding="utf-8")):
        return f"{link}: there is no such heading"
    return None


@pytest.mark.parametrize("page", DOCUMENTS, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(page: Path) -> None:
    found = links(page.read_text(encoding="utf-8"))

    assert [wrong for link in found if (wrong := problem(page, link))] == []


def test_wrong_links_are_found(tmp_path: Path) -> None:
    """A page, a file or a heading that is not there; not what is code."""
    page = tmp_path / "page.md"
    page.write_text(
        "# A `b`-c: d\n\n[1](#a-b-c-d) [2](#no) [3](page.md) [4](no.md) [5](https://x.example/)\n"
        "`[6](code.md)`\n\n```\n[7](fenced.md)\n# not a heading\n```\n"
        "\n[8](page.md#not-a-heading)\n"
    )

    found = links(page.read_text())

    assert found == ["#a-b-c-d", "#no", "page.md", "no.md", "page.md#not-a-heading"]
    assert [link for link in found if problem(page, link)] == [
        "#no", "no.md", "page.md#not-a-heading",
    ]  # fmt: skip


def test_every_page_is_in_the_site() -> None:
    """A page that the navigation of mkdocs.yml leaves out would not be found."""
    listed = re.findall(r":\s+(\S+\.md)$", (ROOT / "mkdocs.yml").read_text(), re.MULTILINE)

    assert sorted(listed) == [page.relative_to(DOCS).as_posix() for page in DOCUMENTS[2:]]


def test_the_picture_shows_nothing_of_the_machine() -> None:
    """It was made in a neutral directory, and fetches nothing; `/home/you` is recorded."""
    picture = (DOCS / "images" / "terminal.svg").read_text(encoding="utf-8")

    assert "hermes" in picture
    assert not re.search(r"/(work|root|home(?!/you/)|tmp)\b|hat_|url\((?!#)|@import", picture)
    assert set(re.findall(r"https?://[^\s\"'<]+", picture)) <= {"http://www.w3.org/2000/svg"}
