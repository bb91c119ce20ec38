"""What the commands share: the token of a source, what damage to a journal means, the folder of a run."""
import pytest
import typer

from engine.cli.options import Failed, _folder, fail_where, token_for


def test_the_sim_is_given_no_token_of_the_broker(monkeypatch):
    monkeypatch.setattr("engine.broker.upstox.login.stored_token", lambda: "secret")
    assert token_for("sim") == "demo" and token_for("upstox") == "secret"


def test_a_damaged_journal_fails_what_was_said_of_it():
    assert fail_where(None) is None and fail_where("") is None
    with pytest.raises(Failed, match="cut"):
        fail_where("cut")


@pytest.mark.parametrize("text", ["", " "])
def test_a_folder_without_a_name_is_none(text):
    with pytest.raises(typer.BadParameter, match="an empty name"):
        _folder(text)
