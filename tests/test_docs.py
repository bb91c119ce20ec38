"""The pages of docs/ that are made from the code are what the code says, and say something of everything."""
import re
import subprocess
import sys

import pytest

import engine
from tests.conftest import ROOT

PAGES = ("configuration.md", "commands.md", "journal-records.md", "python.md")


def test_the_made_pages_are_up_to_date():
    done = subprocess.run([sys.executable, "tools/docs.py", "--check"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("page", PAGES[:2])
def test_every_setting_and_every_option_says_what_it_means(page):
    rows = [line for line in (ROOT / "docs" / page).read_text().splitlines() if line.startswith("| `")]
    assert len(rows) > 60
    assert [row for row in rows if not row.rstrip("| ").count("|") or re.search(r"\|\s*\|$", row)] == []


def test_the_page_of_the_public_names_has_them_and_no_others():
    heads = re.findall(r"^## (\w+)$", (ROOT / "docs" / "python.md").read_text(), re.M)
    assert heads == engine.__all__ and "decode_into" in heads


def test_a_hidden_option_does_not_show():
    text = (ROOT / "docs" / "commands.md").read_text()
    assert "--unlisted" not in text and "--attend" not in text and "## engine\n" not in text and "## evening\n" not in text
    assert "`--for`" in text and "`--store/--no-store`" in text


def test_a_document_that_is_named_is_there():
    """Of the project, by its path or its name in docs/; in sources and in the documents themselves."""
    named = re.compile(r"\bdocs/[\w.-]+\w")
    found = set()
    for folder in ("_ext", "engine", "tests", "tools", "bench", "docs"):
        for path in (ROOT / folder).rglob("*"):
            if path.suffix in (".py", ".pyx", ".pxd", ".pxi", ".md", ".toml", ".sql") and path.name != "test_docs.py":
                found |= {(path.name, name) for name in named.findall(path.read_text())}
    found |= {("README.md", name) for name in named.findall((ROOT / "README.md").read_text())}
    assert [(where, name) for where, name in sorted(found) if not (ROOT / name).exists()] == []


def test_a_numbered_fact_that_is_cited_is_there():
    """`docs/upstox.md 4.1` is a heading of that page, or a fact in it with that number."""
    cited = re.compile(r"docs/(upstox|market)\.md (\d[\d.]*(?:, \d[\d.]*)*)")
    there = {page: set(re.findall(r"^#+ (\d[\d.]*?)\.? |^- \*\*(\d[\d.]*)\*\*", (ROOT / "docs" / f"{page}.md").read_text(), re.M))
             for page in ("upstox", "market")}
    missing = []
    for folder in ("_ext", "engine", "tests", "tools", "bench"):
        for path in (ROOT / folder).rglob("*"):
            if path.suffix in (".py", ".pyx", ".pxd", ".pxi", ".toml") and path.name != "test_docs.py":
                for page, numbers in cited.findall(path.read_text()):
                    known = {number for pair in there[page] for number in pair if number}
                    missing += [(path.name, page, n) for n in re.split(", ", numbers) if n.rstrip(".") not in known]
    assert not missing


def test_no_comment_cites_a_document_that_is_not_here():
    absent = re.compile(r"\b(?:DESIGN|UPSTOX|HOUSE|PEERS|ANCHORS|STYLE)(?:\.md)? \d|\bMARKET(?:\.md)? \d|\bSOURCES\.md")
    found = [f"{path.name}: {text}" for folder in ("_ext", "engine", "tests", "tools", "bench")
             for path in (ROOT / folder).rglob("*.p*") if path.suffix in (".py", ".pyx", ".pxd", ".pxi")
             and path.name != "test_docs.py" for text in absent.findall(path.read_text())]
    assert not found
