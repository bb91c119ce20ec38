"""The list of statements, without a database: trees and texts that were made to deceive."""

import pytest

from engine.store.functions import is_allowed
from engine.store.statements import FORMATS, Refused, check_tree, check_words, escaped, parsed, without_format

GOOD = """SelectWithUnionQuery (children 1)
 ExpressionList (children 1)
  SelectQuery (children 2)
   ExpressionList (children 1)
    Function sumIf (alias n) (children 1)
     ExpressionList (children 2)
      Identifier a
      Literal 'x (children 9)'
   TablesInSelectQuery (children 1)
    TablesInSelectQueryElement (children 1)
     TableExpression (children 1)
      TableIdentifier spike.t (alias k)
"""
KNOWN = frozenset({"file", "sleep", "sum", "length", "url"})


def test_a_plain_tree_passes():
    check_tree(parsed(GOOD))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("Function sumIf (alias n)", "Function file (alias n)"),
        ("Function sumIf (alias n)", "Function file (alias sum)"),
        ("spike.t", "system.one"),
        ("spike.t", "a.spike.t"),
        ("spike.t (alias k)", "system.one (alias spike.t)"),
        ("      Identifier a\n", "      Unknown a\n"),
        ("      Identifier a\n", "      Identifier a (children 1)\n"),
        ("      Identifier a\n", ""),
        ("      Identifier a\n", "      Identifier a\n      Identifier b\n"),
        ("      Identifier a\n", "        Identifier a\n"),
        ("      Identifier a\n", "      Set\n"),
        ("      Identifier a\n", "      ColumnsApplyTransformer\n"),
        ("      TableIdentifier spike.t (alias k)\n", "      Function numbers (children 1)\n       ExpressionList\n"),
        ("SelectWithUnionQuery (children 1)\n", "SelectWithUnionQuery (children 2)\n Literal '/tmp/x'\n"),
        (GOOD, ""),
        (GOOD, GOOD + GOOD),
    ],
)
def test_a_tree_that_is_not_understood_whole_is_refused(old, new):
    assert old in GOOD
    with pytest.raises(Refused):
        check_tree(parsed(GOOD.replace(old, new)))


@pytest.mark.parametrize("text", ["SELECT x IN system.one", "SELECT x NOT IN system.one"])
def test_the_right_side_of_in_is_a_table(text):
    name = "notIn" if "NOT" in text else "in"
    tree = GOOD.replace("sumIf (alias n)", name).replace("Literal 'x (children 9)'", "Identifier system.one")
    with pytest.raises(Refused, match="system"):
        check_tree(parsed(tree))


@pytest.mark.parametrize(
    "text",
    [
        "SELECT file('x')",
        "SELECT `file`('x')",
        "SELECT arrayMap(file, ['x'])",
        "SELECT FILE('x')",
        "SELECT file AS f",
        "SELECT * APPLY sum FROM t",
        "SELECT 1 INTO OUTFILE 'x'",
        "SELECT 1 SETTINGS a = 1",
        "SELECT 1 FORMAT JSON UNION ALL SELECT 1",
        "SELECT unheard(1)",
        "SELECT {a:Identifier}",
        "SELECT `a\\nb`",
        "SELECT 1 # x",
        "SELECT 'open",
        "SELECT 1; SELECT 2",
        "SELECT \x00",
        "SELECT é",
        "SELECT sleepIf(1)",
        "SELECT 1 (1)",
        "SELECT {a:String} (1)",
    ],
)
def test_words_that_are_not_known_are_refused(text):
    with pytest.raises(Refused):
        check_words(text, KNOWN)


@pytest.mark.parametrize(
    "text",
    [
        "SELECT sum(a), 'file(x)', `a b`, {x:Array(Nullable(String))}, a.1, [1, 2][1], -(1), (1 + 2) * 3",
        "SELECT a FROM t WHERE a IN (1) AND (b LIKE '\\'(')",
        "SELECT quantile(0.5)(a)",
    ],
)
def test_words_that_are_known_pass(text):
    check_words(text, KNOWN)


def test_functions():
    assert all(
        map(is_allowed, ("sum", "SUM", "argMaxMerge", "quantileExactIf", "countIfState", "arrayMap", "toStartOfMinute", "dateDiff"))
    )
    assert not any(
        map(
            is_allowed,
            ("file", "fileIf", "url", "dictGet", "joinGet", "sleep", "getSetting", "aiGenerate", "executable", "editDistance", ""),
        )
    )


@pytest.mark.parametrize(
    ("name", "good"),
    [
        ("Native", True),
        ("JSONCompactEachRow", True),
        ("TSVWithNames", True),
        ("RowBinary", True),
        ("Template", False),
        ("Protobuf", False),
        ("CapnProto", False),
        ("DataFrame", False),
        ("ArrowTable", False),
        ("", False),
        ("TSV;", False),
    ],
)
def test_formats(name, good):
    assert bool(FORMATS.fullmatch(name)) == good


def test_the_format_is_the_last_clause():
    assert without_format("SELECT 1 FORMAT JSON") == ("SELECT 1", "JSON")
    assert without_format("SELECT ' FORMAT JSON'") == ("SELECT ' FORMAT JSON'", None)
    assert without_format("SELECT 1 FORMAT `Values`") == ("SELECT 1", "Values")
    assert without_format("SELECT 1") == ("SELECT 1", None)


def test_a_text_is_escaped_as_clickhouse_reads_it():
    assert escaped("a\\b\n\t\r\0'") == "a\\\\b\\n\\t\\r\\0'"
