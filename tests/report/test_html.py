"""The report's file: one, whole, small, its own script alone allowed, whatever stands in its data."""
import base64
import hashlib
import html as escaping
import os
import re

import pytest

from engine.report import html
from engine.report.html import ReportError, document, write
from engine.report.payload import Block, header_text
from tests.kit.counts import count
from tests.kit.reports import year

SCRIPT = "const sign = '</script>'; // <!-- {{title}}\nrun();"
TEMPLATE = ('<meta http-equiv="Content-Security-Policy" content="{{policy}}"><title>{{title}}</title><style>{{css}}</style>'
            "<body>{{data}}<script>{{js}}</script>")


@pytest.fixture
def page(tmp_path, monkeypatch):
    for name, text in (("report.html", TEMPLATE), ("report.js", SCRIPT), ("report.css", "p { color: red }")):
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(html, "PAGE", tmp_path)
    return tmp_path


def test_only_the_reports_own_script_may_run(page):
    text = document("A day", {"note": "x"}, [Block("b", 0)])
    policy = escaping.unescape(re.search(r'content="([^"]+)"', text)[1])
    script = re.search(r"<script>(.*)</script>$", text, re.S)[1]
    assert f"script-src 'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'" in policy
    assert policy.startswith("default-src 'none'") and "unsafe-inline" not in policy.split("script-src")[1].split(";")[0]
    assert "</script>" not in script and "<!--" not in script


def test_what_stands_in_the_data_is_neither_markup_nor_a_place_to_fill(page):
    text = document("</title><script>bad()</script>", {"note": "{{js}} </script><img src=x>"}, [Block("b", 0)])
    assert text.count("<script>") == 1 and "<img" not in text and "{{js}}" in text
    assert "<title>&lt;/title&gt;&lt;script&gt;bad()&lt;/script&gt;</title>" in text


def test_a_page_that_was_not_built_says_how(tmp_path, monkeypatch):
    monkeypatch.setattr(html, "PAGE", tmp_path)
    with pytest.raises(ReportError, match="`make install` builds it"):
        document("A", {}, [])


def test_the_file_is_its_owners_and_whole(tmp_path):
    path = tmp_path / "new" / "report.html"
    write(path, "one")
    write(path, "two")
    assert path.read_text() == "two" and os.stat(path).st_mode & 0o777 == 0o600
    assert [entry.name for entry in path.parent.iterdir()] == ["report.html"]
    (tmp_path / "file").write_text("")
    with pytest.raises(ReportError, match="--out"):
        write(tmp_path / "file" / "report.html", "x")


@pytest.mark.long
def test_a_year_of_trades_is_under_three_megabytes():
    """200 stocks, 10,000 trades on their candles and as many candidates as are listed; the smaller counts in proportion. The page's
    own script and style take what they take: 200 KB are kept for them."""
    days, trades, names, candidates = count((60, 800, 60, 2000), (125, 2500, 120, 8000), (250, 10_000, 200, 60_000))
    _, header, blocks = year(days, trades, names, candidates)
    size = len(header_text(header, blocks)) + sum(len(block.packed()) for block in blocks)
    assert size < 2_800_000 * trades / 10_000 + 100_000
    described = {block.name: block.rows for block in blocks}
    assert described["trades"] == trades == described["windows"] and described["candles"] > 15 * trades
