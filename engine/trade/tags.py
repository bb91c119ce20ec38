"""The mark on every order of ours: which engine, which life of it, which intent, which leg."""
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from _ext.core.records import ROLE_ENTRY, ROLE_EXIT
from engine.broker.base import TAG_LENGTH

LEGS = {ROLE_ENTRY: "e", ROLE_EXIT: "x"}
"""Role -> leg of the tag: entry, exit. The kill process writes k."""


@dataclass(frozen=True, slots=True)
class Tag:
    """What an order tag of ours says; `role` 2 for the kill process too."""
    engine: str
    nonce: str
    intent: int
    role: int


def tag_of(engine: str, nonce: str, intent: int, role: int) -> str:
    """The order tag `engine.nonce.intent.leg`: at most 40 characters, unique per intent and boot."""
    tag = f"{engine}.{nonce}.{intent}.{LEGS.get(role, 'k')}"
    if len(tag) > TAG_LENGTH:
        raise ValueError(f"order tag {tag} has {len(tag)} characters, a broker takes {TAG_LENGTH}: shorten the engine's id")
    return tag


def read_tag(tag: Any, engine: str) -> Tag | None:
    """The tag's parts; None where the order is not of this engine: also where the tag is longer than any of ours can be."""
    parts = tag.split(".") if isinstance(tag, str) and len(tag) <= TAG_LENGTH else []
    if len(parts) != 4 or parts[0] != engine or not parts[2].isascii() or not parts[2].isdigit():
        return None
    return Tag(engine, parts[1], int(parts[2]), 1 if parts[3] == "e" else 2)


def intent_of(tag: str, engine: str, nonces: Collection[str]) -> int:
    """The intent a tag of ours names; 0 when the order is not of this run: numbers start again in every run, so the
    nonce must be one this run has used."""
    parts = read_tag(tag, engine)
    return parts.intent if parts is not None and parts.nonce in nonces and 0 < parts.intent < 2**63 else 0
