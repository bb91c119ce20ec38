"""`model` in a folder of its own: what is told of models, and that a role needs a name."""
import orjson
import pytest

from engine.signals import models
from tests.signals.test_models import SHIPPED, another, folder

__all__ = ["folder"]
HEAD = SHIPPED.sha256[:16]


@pytest.fixture(autouse=True)
def here_are_models(folder, monkeypatch):
    monkeypatch.setenv("ENGINE_MODELS", str(folder))


def test_a_list_says_who_trades(said, folder):
    other = another(folder, "b")[:16]
    assert said("model", "list", "--json") == (0, "")
    assert {row["model"]: row["role"] for row in orjson.loads(said.out)} == {HEAD: "active", other: ""}
    assert said("model", "list") == (0, "")
    assert {line.split()[0]: line.split()[1] for line in said.out.splitlines()} == {HEAD: "active", other: "-"}


def test_a_model_is_promoted_and_the_one_before_comes_back(said, folder):
    other = another(folder, "b")[:16]
    assert said("model", "promote", other[:10]) == (0, "") and said.out == f"{other} trades\n"
    assert models.active(folder).sha256[:16] == other
    assert said("model", "rollback") == (0, "") and said.out == f"{HEAD} trades again\n"
    assert models.active(folder).sha256[:16] == HEAD
    code, text = said("model", "promote", "nobody")
    assert code == 1 and "nobody" in text and models.active(folder).sha256[:16] == HEAD


@pytest.mark.parametrize(("word", "role"), [("shadow", "shadow"), ("arm", "b")])
def test_a_role_needs_a_name_and_ends_with_off(said, folder, word, role):
    other = another(folder, "b")[:16]
    code, text = said("model", word)
    assert code == 1 and "which model?" in text
    assert said("model", word, other) == (0, "")
    assert {row["model"]: row["role"] for row in models.entries(folder)}[other] != ""
    assert said("model", word, "--off") == (0, "")
    assert {row["model"]: row["role"] for row in models.entries(folder)}[other] == ""


def test_arm_b_without_a_share_of_the_names_is_said(said, folder, monkeypatch):
    other = another(folder, "b")[:16]
    said("model", "arm", other)
    assert said.out == f"{other} decides for arm B: set ab.share in engine.toml, it is 0\n"
    monkeypatch.setenv("ENGINE_AB__SHARE", "0.5")
    said("model", "arm", other)
    assert said.out == f"{other} decides for arm B\n"


def test_a_model_says_all_of_itself(said):
    assert said("model", "show", HEAD) == (0, "")
    document = orjson.loads(said.out)
    assert document["sha256"] == SHIPPED.sha256 and float(document["threshold"]) == 0.3
