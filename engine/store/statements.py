"""Which statements a reader may run: an allow-list of kinds, nodes and functions; what is not known is refused.

ClickHouse writes the statement anew in its own spelling without running it. That text, one statement without comments or escapes
in names, is what is looked at and what runs. It is looked at twice, since a parsed tree does not show all: its words (no name of a
function that is not on the list, wherever it stands) and its tree (only nodes known here, tables of this database alone).
"""
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from engine.errors import EngineError
from engine.store.functions import is_allowed
from engine.store.grants import DATABASE

Ask = Callable[[str, Mapping[str, str]], str]
"""Runs a statement of our own with parameters and gives its answer as raw text."""
TEXT_MAX = 256 << 10
WRITTEN_MAX = 1 << 20
_NAME = rf"(?:{DATABASE}\.)?(?:[A-Za-z_]\w*|`[^`\\.]+`)"
_TEXT = r"'(?:[^'\\]|\\.)*'"
FIXED = re.compile(
    rf"SHOW (FULL )?TABLES( FROM {DATABASE})?( (NOT )?I?LIKE {_TEXT})?|SHOW DATABASES|SHOW (FULL )?COLUMNS FROM {_NAME}"
    rf"|SHOW CREATE TABLE {_NAME}|DESCRIBE TABLE {_NAME}|EXISTS TABLE {_NAME}"
    # what clickhouse-connect asks when it connects
    r"|SELECT name, value, readonly FROM system\.settings LIMIT 10000", re.ASCII | re.DOTALL)
EXPLAIN = re.compile(r"EXPLAIN(?: AST| SYNTAX| QUERY TREE| PIPELINE| ESTIMATE)?(?:,? [a-z_]+ = \d+)* (?=SELECT|WITH|\()", re.ASCII)
FORMATS = re.compile(
    r"Native|TSKV|Null|Vertical|Values|Markdown|XML|Arrow|ArrowStream|Parquet|ORC|Avro|MsgPack|SQLInsert|BSONEachRow"
    r"|(TabSeparated|TSV|CSV|RowBinary|CustomSeparated)(Raw)?(WithNames|WithNamesAndTypes)?|(JSON|Pretty)[A-Za-z]*", re.ASCII)
_TOKEN = re.compile(
    rf"(?P<text>{_TEXT})|(?P<name>`[^`\\]*`)|(?P<word>[A-Za-z_]\w*)|(?P<number>\d[\w.]*)|(?P<space> +)"
    r"|(?P<parameter>\{[A-Za-z_]\w*:[\w(), ]+\})|(?P<sign>[-+*/%=<>!(),.\[\]:?|^@])", re.ASCII | re.DOTALL)
BEFORE_BRACKET = frozenset(
    "ALL AND ANTI ANY ARRAY AS ASC ASOF BETWEEN BY COLUMNS CROSS CUBE DESC DISTINCT ELSE EXCEPT EXISTS FILL FINAL FROM FULL GLOBAL "
    "HAVING ILIKE IN INNER INTERPOLATE INTERSECT IS JOIN LEFT LIKE LIMIT NOT OFFSET ON OR OUTER OVER PREWHERE QUALIFY REPLACE "
    "RIGHT ROLLUP SELECT SEMI SETS STEP THEN TO TOTALS UNION USING WHEN WHERE WITH".split())
"""Words of the language that a bracket may follow without a call."""
NEVER = frozenset("APPLY FORMAT INFILE INTO OUTFILE SETTINGS".split())
NODES = frozenset(
    "ArrayJoin Asterisk ColumnsExceptTransformer ColumnsListMatcher ColumnsRegexpMatcher ColumnsReplaceTransformer "
    "ColumnsReplaceTransformer::Replacement ColumnsTransformerList ExpressionList Function Identifier InterpolateElement Literal "
    "OrderByElement QualifiedAsterisk QualifiedColumnsListMatcher QualifiedColumnsRegexpMatcher SampleRatio "
    "SelectIntersectExceptQuery SelectQuery SelectWithUnionQuery Subquery TableExpression TableIdentifier TableJoin "
    "TablesInSelectQuery TablesInSelectQueryElement WindowDefinition WindowListElement WithElement".split())
_CHILDREN = re.compile(r" \(children (\d+)\)$")
MEMBERSHIP = re.compile(r"(global)?(not)?(null)?in(ignoreset)?", re.IGNORECASE)


class Refused(EngineError, ValueError):
    """The statement is none a reader may run; says why."""


@dataclass
class Node:
    kind: str
    text: str
    children: list["Node"] = field(default_factory=list)


def examine(ask: Ask, sql: str, parameters: Mapping[str, str], known: frozenset[str]) -> tuple[str, str | None]:
    """(the statement to run, the format its FORMAT clause names). `known` are all functions ClickHouse has, in lower case.

    Raises Refused, or what `ask` raises where ClickHouse does not understand the text.
    """
    if len(sql) > TEXT_MAX:
        raise Refused(f"a statement has at most {TEXT_MAX >> 10} KB")
    written = ask("SELECT formatQuerySingleLine({q:String})", {"q": escaped(sql)})
    if len(written) > WRITTEN_MAX:
        raise Refused("the statement is too long")
    text, wanted = without_format(written)
    if FIXED.fullmatch(text):
        return text, wanted
    head = EXPLAIN.match(text)
    body = text[head.end():] if head else text
    if not re.match(r"\(*(SELECT|WITH) ", body):
        raise Refused("readers may SELECT, EXPLAIN a SELECT, SHOW TABLES, COLUMNS or CREATE TABLE, DESCRIBE and EXISTS")
    check_words(body, known)
    check_tree(parsed(ask(f"EXPLAIN AST {body}", parameters)))
    return text, wanted


def escaped(text: str) -> str:
    """As a parameter of type String is written."""
    return text.translate({0: "\\0", 8: "\\b", 9: "\\t", 10: "\\n", 12: "\\f", 13: "\\r", 92: "\\\\"})


def without_format(written: str) -> tuple[str, str | None]:
    """The statement and the format of its last clause, where it has one."""
    found = re.search(r" FORMAT (`?)([A-Za-z]\w*)\1$", written, re.ASCII)
    return (written[:found.start()], found[2]) if found else (written, None)


def check_words(text: str, known: frozenset[str]) -> None:
    """Refuses clauses that are not of reading, and every name of a function that is not on the list, called or not."""
    position, before = 0, ""
    while position < len(text):
        token = _TOKEN.match(text, position)
        if token is None:
            raise Refused(f"not understood: {text[position:position + 20]!r}")
        position = token.end()
        kind, value = token.lastgroup, token.group().strip("`")
        if kind == "space":
            continue
        if kind == "word" and value in NEVER:
            raise Refused(f"{value} is not for readers")
        if kind == "parameter" and "identifier" in value.lower():
            raise Refused("a parameter cannot be an identifier")
        if kind in ("word", "name") and value.lower() in known and not is_allowed(value) and value not in BEFORE_BRACKET:
            raise Refused(f"the function {value} is not for readers")
        if value == "(" and before and before not in BEFORE_BRACKET and not is_allowed(before):
            raise Refused(f"the function {before[:60]} is not for readers" if before.lower() in known else
                          f"there is no function {before[:60]}")
        before = value if kind in ("word", "name", "number", "parameter") else ""


def parsed(answer: str) -> Node:
    """The tree ClickHouse prints, read strictly: each line a node, each node with as many children as it says."""
    root = Node("", "")
    open_nodes: list[tuple[Node, int]] = [(root, 1)]
    for line in answer.rstrip("\n").split("\n"):
        found = _CHILDREN.search(line)
        said = line[:found.start()] if found else line
        kind, _, text = said.lstrip(" ").partition(" ")
        depth = len(line) - len(line.lstrip(" ")) + 1
        if depth > len(open_nodes) or kind not in NODES:
            raise Refused(f"readers may not use {kind[:60]!r}")
        _close(open_nodes, depth)
        node = Node(kind, text.rpartition(" (alias ")[0] or text)
        open_nodes[-1][0].children.append(node)
        open_nodes.append((node, int(found[1]) if found else 0))
    _close(open_nodes, 0)
    return root.children[0]


def _close(open_nodes: list[tuple[Node, int]], depth: int) -> None:
    """Ends the nodes deeper than `depth`, which now have all their children."""
    for node, children in open_nodes[depth:]:
        if len(node.children) != children:
            raise Refused("the statement's tree is not understood")
    del open_nodes[depth:]


def check_tree(root: Node) -> None:
    """Only functions on the list, tables of this database, no table function, no clause of output or settings."""
    waiting = [root]
    while waiting:
        node = waiting.pop()
        waiting += node.children
        if node.kind == "Function" and not is_allowed(node.text):
            raise Refused(f"the function {node.text[:60]} is not for readers")
        if node.kind == "TableExpression" and any(child.kind == "Function" for child in node.children):
            raise Refused("table functions are not for readers")
        if node.kind == "SelectWithUnionQuery" and [child.kind for child in node.children] != ["ExpressionList"]:
            raise Refused("FORMAT, SETTINGS and INTO are not for readers inside a statement")
        if node.kind == "TableIdentifier":
            _check_table(node.text)
        if node.kind == "Function" and MEMBERSHIP.fullmatch(node.text):
            for operand in node.children[0].children[1:] if node.children else ():
                if operand.kind == "Identifier":
                    _check_table(operand.text)


def _check_table(name: str) -> None:
    database, dot, _ = name.rpartition(".")
    if dot and database != DATABASE:
        raise Refused(f"{name[:80]}: readers read the tables of {DATABASE} and nothing else")
