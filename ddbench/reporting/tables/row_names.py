"""What rows and sections are called: enough to tell them apart, and no more."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from ddbench.reporting.tables.aggregate import Entry, Setting

MOST_DIFFERENCES = 3
"""Options that a label names before it falls back on the key."""


def labelled(entries: Sequence[Entry]) -> list[Entry]:
    """The entries with labels that differ within a setting.

    First by the profile and the options that the user gave; where that is not enough (reference
    rows, a part of another version) by what differs in the configuration.
    """
    named = [replace(entry, label=entry.name) for entry in entries]
    named = [_by_given(entry, named) for entry in named]
    groups: dict[tuple[Setting, str], list[Entry]] = {}
    for entry in named:
        groups.setdefault((entry.setting, entry.label), []).append(entry)
    return [_by_configuration(entry, groups[entry.setting, entry.label]) for entry in named]


def _by_given(entry: Entry, entries: Sequence[Entry]) -> Entry:
    told = {"profile": entry.first.profile} if entry.first.profile else {}
    # A reference row carries the options of the first row that asked for it: they say nothing.
    if not entry.baseline:
        common = given_by_all(e for e in entries if e.name == entry.name and not e.baseline)
        told |= {k: v for k, v in entry.given.items() if k not in common}
    return replace(entry, label=_suffixed(entry.label, told))


def given_by_all(entries: Iterable[Entry]) -> dict[str, str]:
    """Options that every one of the entries was given alike."""
    found: dict[str, str] | None = None
    for entry in entries:
        given = entry.given
        found = dict(given) if found is None else {
            k: v for k, v in found.items() if given.get(k) == v
        }  # fmt: skip
    return found or {}


def _by_configuration(entry: Entry, rivals: Sequence[Entry]) -> Entry:
    if len(rivals) < 2:
        return entry
    flat = {id(e): _all_options(e) for e in rivals}
    mine = flat[id(entry)]
    names = sorted(set().union(*flat.values()))
    differing = {
        n: mine[n] for n in names if n in mine and len({f.get(n) for f in flat.values()}) > 1
    }
    shown = dict(list(differing.items())[:MOST_DIFFERENCES])
    same = [e for e in rivals if all(flat[id(e)].get(n) == v for n, v in shown.items())]
    if len(same) > 1 or not shown:
        shown["key"] = entry.first.key[:8]
    return replace(entry, label=_suffixed(entry.label, shown))


def _suffixed(label: str, options: Mapping[str, str]) -> str:
    told = ", ".join(f"{name}={value}" for name, value in sorted(options.items()))
    return f"{label}, {told}" if told else label


def _all_options(entry: Entry) -> dict[str, str]:
    record = entry.first
    flat = flattened(record.configuration.get("recipe", {}))
    rest = {k: v for k, v in record.configuration.items() if k != "recipe"}
    return {**flat, **flattened(rest), "students": str(record.student_count)}


def flattened(value: Any, path: str = "") -> dict[str, str]:
    """Options by dotted name, of a configuration as `ddbench.store.keys.spell` wrote it.

    A part is `["module:Class/version", {options}]`; it adds its own name, and its options.
    """
    if isinstance(value, Mapping):
        found: dict[str, str] = {}
        for name, item in value.items():
            found.update(flattened(item, f"{path}.{name}".lstrip(".")))
        return found
    if is_part(value):
        return {path: value[0].rpartition(":")[2], **flattened(value[1], path)}
    if isinstance(value, list) and any(is_part(item) for item in value):
        found = {}
        for item in value:
            found.update(flattened(item, f"{path}.{_term_name(item)}"))
        return found
    return {path: str(value)}


def is_part(value: Any) -> bool:
    return (
        isinstance(value, list)
        and len(value) == 2
        and isinstance(value[0], str)
        and isinstance(value[1], dict)
    )


def _term_name(term: Any) -> str:
    return str(term[1].get("name", "")) if is_part(term) else str(term)


_ALWAYS = ("dataset", "ipc")
_FIELDS = ("dataset", "ipc", "teacher", "student", "labels", "protocol", "precision", "holdout")


class Headings:
    """Splits what settings say into what is the same for all and what tells them apart."""

    def __init__(self, settings: Iterable[Setting], without: Iterable[str] = ()) -> None:
        found = list(settings)
        fields = [name for name in _FIELDS if name not in set(without)]
        counts = {name: len({getattr(s, name) for s in found}) for name in fields}
        self.varying = [name for name in fields if counts[name] > 1]
        self.constant = [name for name in fields if counts[name] == 1]
        self._one = found[0]

    def title(self, kind: str) -> str:
        """`Leaderboard: digits, IPC 10`, of what all share."""
        words = [_word(self._one, name) for name in _ALWAYS if name in self.constant]
        return f"{kind}: {', '.join(words)}" if words else kind

    def subtitle(self) -> str:
        """The rest of what all share."""
        names = [name for name in self.constant if name not in _ALWAYS]
        if {"teacher", "student"} <= set(names) and self._one.teacher == self._one.student:
            names = [name for name in names if name != "student"]
            words = [_word(self._one, n).replace("teacher", "teacher and student") for n in names]
        else:
            words = [_word(self._one, name) for name in names]
        return ", ".join(word for word in words if word not in ("", "fp32", "judged on test data"))

    def section(self, setting: Setting) -> str:
        return ", ".join(_word(setting, name) for name in self.varying)


def _word(setting: Setting, name: str) -> str:
    value = getattr(setting, name)
    if name == "ipc":
        return "all images" if value is None else f"IPC {value}"
    if name == "holdout":
        part = f" ({100 * value:g} %)"
        return f"judged on held-out training images{part}" if value else "judged on test data"
    if name in ("dataset", "precision"):
        return str(value)
    return f"{name} {value}"
