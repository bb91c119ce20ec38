"""The stubs of the compiled modules say what is there."""
import ast
from importlib import import_module

import pytest

from tests.conftest import ROOT

STUBS = sorted((ROOT / "_ext").rglob("*.pyi"))


def names(tree: ast.Module) -> list[tuple[str, ...]]:
    """The functions, classes and variables of a stub, and each class's members."""
    out: list[tuple[str, ...]] = []
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            out.append((node.name,))
        if isinstance(node, ast.ClassDef):
            out += [(node.name, part.name) for part in node.body if isinstance(part, ast.FunctionDef)]
            out += [(node.name, part.target.id) for part in node.body if isinstance(part, ast.AnnAssign)]
        if isinstance(node, ast.AnnAssign):
            out.append((node.target.id,))
    return out


@pytest.mark.parametrize("stub", STUBS, ids=[path.stem for path in STUBS])
def test_what_a_stub_says_is_there(stub):
    module = import_module(".".join(stub.relative_to(ROOT).with_suffix("").parts))
    found = names(ast.parse(stub.read_text()))
    assert found
    for name, *member in found:
        thing = getattr(module, name)
        assert not member or hasattr(thing, member[0]), f"{name}.{member[0]}"


def test_the_public_compiled_modules_have_stubs_and_both_packages_are_typed():
    assert {path.stem for path in STUBS} >= {"keys", "wire", "encode", "reader"}
    assert (ROOT / "engine" / "py.typed").exists() and (ROOT / "_ext" / "py.typed").exists()
