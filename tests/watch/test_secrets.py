"""Where alerts go to is read from the environment or an owner's file, and never shown."""
import os

import pytest

from engine.errors import UsageError
from engine.watch.alerts.secrets import Addresses, addresses


@pytest.fixture(autouse=True)
def nowhere(monkeypatch, tmp_path):
    for name in ("ENGINE_ALERTS_URLS", "ENGINE_ALERTS_HEARTBEAT", "ENGINE_ALERTS_FILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))


def written(path, text: str, mode: int = 0o600):
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    path.chmod(mode)
    return path


def test_without_any_there_are_none():
    assert addresses() == Addresses() and not addresses().heartbeat


def test_environment_and_file_together(monkeypatch, tmp_path):
    monkeypatch.setenv("ENGINE_ALERTS_URLS", "json://one.example/hook  mailto://a:b@mail.example")
    file = written(tmp_path / "kept", "# ours\njson://two.example\n\nheartbeat https://beat.example/uuid\njson://one.example/hook\n")
    monkeypatch.setenv("ENGINE_ALERTS_FILE", str(file))
    found = addresses()
    assert found.urls == ("json://one.example/hook", "mailto://a:b@mail.example", "json://two.example")
    assert found.heartbeat == "https://beat.example/uuid"
    monkeypatch.setenv("ENGINE_ALERTS_HEARTBEAT", "http://nearer.example/")
    assert addresses().heartbeat == "http://nearer.example/"


def test_the_file_in_the_state_folder_needs_no_name(tmp_path):
    written(tmp_path / "spike" / "alerts", "json://two.example\n")
    assert addresses().urls == ("json://two.example",)


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o660])
def test_a_file_that_others_can_read_is_refused(mode, monkeypatch, tmp_path):
    monkeypatch.setenv("ENGINE_ALERTS_FILE", str(written(tmp_path / "open", "json://u:hidden@x.example", mode)))
    with pytest.raises(UsageError, match="chmod 600") as error:
        addresses()
    assert "hidden" not in str(error.value)


def test_what_is_no_file_is_said(monkeypatch, tmp_path):
    link = tmp_path / "link"
    link.symlink_to(written(tmp_path / "real", "json://x.example"))
    os.mkfifo(tmp_path / "pipe", 0o600)
    for path, words in ((tmp_path / "gone", "no such file"), (tmp_path, "no file with addresses"), (link, "symbolic link"),
                        (tmp_path / "pipe", "no file with addresses")):
        monkeypatch.setenv("ENGINE_ALERTS_FILE", str(path))
        with pytest.raises(UsageError, match=words):
            addresses()


@pytest.mark.parametrize(("urls", "heartbeat", "words"), [
    ("plain-hidden-word", "", "address 1 for alerts is none"), ("json://ok.example hidden", "", "address 2"),
    (" ".join(f"json://hidden{i}.example" for i in range(9)), "", "9 addresses"),
    ("", "ftp://hidden.example", "begins with https"), ("", "hidden", "begins with https")])
def test_what_is_no_address_is_refused_without_being_shown(urls, heartbeat, words, monkeypatch):
    monkeypatch.setenv("ENGINE_ALERTS_URLS", urls)
    monkeypatch.setenv("ENGINE_ALERTS_HEARTBEAT", heartbeat)
    with pytest.raises(UsageError, match=words) as error:
        addresses()
    assert "hidden" not in str(error.value)


def test_a_text_is_masked_in_every_spelling():
    given = Addresses(("mailto://asha:p%40ss%2Fword@mail.example?to=b@c.example", "tgram://12345:ABCdef/678910"),
                      "https://beat.example/0a1b2c?key=ffff")
    for text in ("p%40ss%2Fword", "p@ss/word", "tgram://12345:ABCdef/678910", "ABCdef", "bot12345:ABCdef", "0a1b2c", "key=ffff",
                 "https://beat.example/0a1b2c?key=ffff", "678910"):
        masked = given.masked(f"said <{text}> again")
        assert "***" in masked and not any(part in masked for part in ("p%40ss", "word", "ABCdef", "0a1b", "ffff", "678910")), text
    assert given.masked("the feed is down") == "the feed is down"
    assert repr(given) == "Addresses(2 ways, a heartbeat)"


def test_a_stores_process_gets_none_of_it(monkeypatch):
    from engine.store.confinement import environment

    monkeypatch.setenv("ENGINE_ALERTS_URLS", "json://u:hidden@x.example")
    monkeypatch.setenv("ENGINE_ALERTS_HEARTBEAT", "https://hidden.example")
    monkeypatch.setenv("ENGINE_ALERTS__LOSS", "0.02")
    kept = environment()
    assert "ENGINE_ALERTS__LOSS" in kept and not any("hidden" in value for value in kept.values())


def test_the_settings_do_not_hold_them_and_a_misspelt_variable_is_refused(monkeypatch):
    from engine.config import ConfigurationError, load

    monkeypatch.setenv("ENGINE_ALERTS_URLS", "json://u:hidden@x.example")
    monkeypatch.setenv("ENGINE_ALERTS__LOSS", "0.02")
    config = load()
    assert config.alerts.loss == 0.02 and "hidden" not in config.model_dump_json() and "hidden" not in str(config.record())
    monkeypatch.setenv("ENGINE_ALERTS_URL", "json://u:hidden@x.example")
    with pytest.raises(ConfigurationError, match="ENGINE_ALERTS_URL: unknown variable") as error:
        load()
    assert "hidden" not in str(error.value)
