"""A configuration that is named or there and cannot be read whole is refused; defaults are for where there is none."""
import os
import stat

import pytest

from engine import config
from engine.config import FILE_MAX, ConfigurationError


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("ENGINE_CONFIG", raising=False)
    return tmp_path


def test_without_a_file_the_defaults_stand():
    assert config.load().risk.stop == 0.02


def test_a_file_is_read_by_its_own_name_or_the_one_given(here, monkeypatch):
    (here / "engine.toml").write_text("[risk]\nstop = 0.03\n")
    assert config.load().risk.stop == 0.03
    (here / "other").write_text("[risk]\nstop = 0.04\n")
    monkeypatch.setenv("ENGINE_CONFIG", "other")
    assert config.load().risk.stop == 0.04
    monkeypatch.setenv("ENGINE_RISK__STOP", "0.05")         # a variable is stronger than the file
    assert config.load().risk.stop == 0.05


@pytest.mark.parametrize("is_named", [False, True])
@pytest.mark.parametrize(("make", "words"), [
    (lambda path: path.mkdir(), "is a folder"),
    (lambda path: path.symlink_to("nowhere"), "no such file"),
    (lambda path: path.symlink_to(path.name), "symbolic links"),
    (os.mkfifo, "no regular file"),
    (lambda path: path.symlink_to("/dev/zero"), "no regular file"),
    (lambda path: path.write_bytes(b"[risk]\nstop = 0.03 # \xe9\n"), "is not UTF-8"),
    (lambda path: path.write_bytes("[risk]\nstop = 0.03\n".encode("utf-16")), "is not UTF-8"),
    (lambda path: path.write_bytes(b"# " + b"x" * FILE_MAX), "is larger than"),
    (lambda path: path.write_text("a = " + "[" * 100_000), "not valid TOML"),
    (lambda path: path.write_bytes(bytes(100)), "not valid TOML"),
], ids=["folder", "dangling", "loop", "pipe", "device", "latin-1", "utf-16", "huge", "deep", "zeros"])
def test_what_cannot_be_read_whole_is_refused(here, monkeypatch, make, words, is_named):
    path = here / ("named" if is_named else "engine.toml")
    make(path)
    if is_named:
        monkeypatch.setenv("ENGINE_CONFIG", str(path))
    with pytest.raises(ConfigurationError, match=words) as refused:
        config.load()
    assert path.name in str(refused.value) and "\n" not in str(refused.value)


def test_an_unreadable_one_is_refused(here, monkeypatch):
    (here / "engine.toml").write_text("[risk]\nstop = 0.03\n")
    (here / "engine.toml").chmod(0)
    if os.geteuid() == 0:                                   # root reads everything: refuse as the kernel would
        monkeypatch.setattr("engine.config.os.open", _refuse)
    with pytest.raises(ConfigurationError, match=r"engine\.toml: permission denied"):
        config.load()


def _refuse(path, flags):
    raise PermissionError(13, "Permission denied", str(path))


@pytest.mark.parametrize(("name", "words"), [("", "ENGINE_CONFIG is empty"), ("none/x.toml", "no such file"), (
    "x" * 5000, "name too long")])
def test_a_name_that_leads_nowhere_is_refused(monkeypatch, name, words):
    monkeypatch.setenv("ENGINE_CONFIG", name)
    with pytest.raises(ConfigurationError, match=words):
        config.load()


def test_a_link_to_a_file_is_a_file(here):
    (here / "real").write_text("[risk]\nstop = 0.03\n")
    (here / "engine.toml").symlink_to("real")
    assert config.load().risk.stop == 0.03 and stat.S_ISLNK((here / "engine.toml").lstat().st_mode)


SECONDS = {"symbol_gap_s": "symbol_gap", "stale_s": "stale", "hold_s": "hold", "entry_life_s": "entry_life", "fade_s": "fade",
           "streak_pause_s": "streak_pause", "feed_dead_s": "feed_dead", "settle_entry_s": "settle_entry",
           "settle_exit_s": "settle_exit"}
ELSEWHERE = {"account_size", "order_value", "skew_s", "vehicle", "policy", "exit_by"}


@pytest.mark.parametrize("name", sorted(set(config.Risk.model_fields) - ELSEWHERE))
def test_each_limit_is_the_cores_own_in_its_unit(name):
    """Changed alone, it changes its own number of the record alone: ns for seconds, the same for all others."""
    usual = config.Config().record()["limits"]
    default = config.Risk.model_fields[name].default
    value = default + 1 if isinstance(default, int) else default * 1.25 + 0.01
    risk = config.Config(risk=config.Risk(**{name: value})).record()["limits"]
    mine = SECONDS.get(name) or name
    assert {key: risk[key] for key in risk if risk[key] != usual[key]} == {mine: value * (10**9 if name in SECONDS else 1)}


@pytest.mark.parametrize(("given", "key", "number"), [
    ({"order_value": 1234.56}, "order_value", 123_456), ({"skew_s": 12.5}, "skew", 12_500_000_000), ({"vehicle": "future"},
                                                                                                     "vehicle", 1),
    ({"policy": "atr"}, "policy", 1), ({"exit_by": "cancel"}, "exit_by", 1)])
def test_limits_in_paise_milliseconds_and_words(given, key, number):
    usual, risk = config.Config().record()["limits"], config.Config(risk=config.Risk(**given)).record()["limits"]
    assert {name: risk[name] for name in risk if risk[name] != usual[name]} == {key: number}


@pytest.mark.parametrize("name", sorted(config.Session.model_fields))
def test_each_minute_of_the_session_reaches_the_gate(name):
    record = config.Config(session=config.Session(**{name: 42})).record()
    assert record["limits"][name] == 42
    assert sum(record["limits"][other] == 42 for other in config.Session.model_fields) == 1


def test_the_other_variables_are_known_and_a_misspelt_one_is_not(monkeypatch):
    monkeypatch.setenv("ENGINE_SANDBOX_TOKEN", "t")         # what `doctor --sandbox` reads
    config.load()
    monkeypatch.setenv("ENGINE_SANDBOX_TOKE", "t")
    with pytest.raises(ConfigurationError, match="ENGINE_SANDBOX_TOKE: unknown variable"):
        config.load()


def test_a_file_as_large_as_one_may_be_is_read(here):
    text = b"[risk]\nstop = 0.03\n# "
    (here / "engine.toml").write_bytes(text.ljust(FILE_MAX, b"x"))
    assert config.load().risk.stop == 0.03
