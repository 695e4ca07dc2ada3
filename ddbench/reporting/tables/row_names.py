"""Names of rows and sections: enough to tell them apart, and no more."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeGuard

from ddbench.reporting.tables.aggregate import Entry, Setting
from ddbench.reporting.tables.formatting import format_ipc

MOST_DIFFERENCES = 3
"""Options that a label names before it falls back on the key."""


def label_entries(entries: Sequence[Entry]) -> list[Entry]:
    """Returns the entries with labels that differ within a setting.

    First by the profile and the options that the user gave; where that is not enough (reference
    rows, a part of another version) by what differs in the configuration.
    """
    named = [_label_by_given(entry, entries) for entry in entries]
    groups: dict[tuple[Setting, str], list[Entry]] = {}
    for entry in named:
        groups.setdefault((entry.setting, entry.label), []).append(entry)
    return [_label_by_configuration(e, groups[e.setting, e.label]) for e in named]


def _label_by_given(entry: Entry, entries: Sequence[Entry]) -> Entry:
    options = {"profile": entry.first.profile} if entry.first.profile else {}
    # A reference row carries the options of the first row that asked for it: they say nothing.
    if not entry.baseline:
        common = find_common_options(e for e in entries if e.name == entry.name and not e.baseline)
        options |= {k: v for k, v in entry.given.items() if k not in common}
    return replace(entry, label=_append(entry.name, options))


def find_common_options(entries: Iterable[Entry]) -> dict[str, str]:
    """Returns the options that every one of the entries was given alike."""
    options = [set(entry.given.items()) for entry in entries]
    return dict(set.intersection(*options)) if options else {}


def _label_by_configuration(entry: Entry, rivals: Sequence[Entry]) -> Entry:
    if len(rivals) < 2:
        return entry
    flat = {id(e): _flatten_configuration(e) for e in rivals}
    mine = flat[id(entry)]
    differing = [n for n in sorted(mine) if len({f.get(n) for f in flat.values()}) > 1]
    shown = {name: mine[name] for name in differing[:MOST_DIFFERENCES]}
    same = [f for f in flat.values() if all(f.get(n) == v for n, v in shown.items())]
    if len(same) > 1 or not shown:
        shown["key"] = entry.first.key[:8]
    return replace(entry, label=_append(entry.label, shown))


def _append(label: str, options: Mapping[str, str]) -> str:
    return ", ".join([label, *(f"{name}={value}" for name, value in sorted(options.items()))])


def _flatten_configuration(entry: Entry) -> dict[str, str]:
    record = entry.first
    flat = flatten_options(record.configuration.get("recipe", {}))
    rest = {k: v for k, v in record.configuration.items() if k != "recipe"}
    return {**flat, **flatten_options(rest), "students": str(record.student_count)}


def flatten_options(value: Any, path: str = "") -> dict[str, str]:
    """Returns options by dotted name, of a configuration as `ddbench.store.keys.spell` wrote it.

    A part is `["module:Class/version", {options}]`; it adds its own name, and its options.
    """
    if isinstance(value, Mapping):
        items = [(f"{path}.{name}".lstrip("."), item) for name, item in value.items()]
    elif is_part(value):
        return {path: value[0].rpartition(":")[2], **flatten_options(value[1], path)}
    elif isinstance(value, list) and any(is_part(item) for item in value):
        items = [(f"{path}.{_name_term(item)}", item) for item in value]
    else:
        return {path: str(value)}
    return {n: text for name, item in items for n, text in flatten_options(item, name).items()}


def is_part(value: Any) -> TypeGuard[list[Any]]:
    """Tells whether a value is a spelt part: a name, and its options."""
    return (
        isinstance(value, list)
        and len(value) == 2
        and isinstance(value[0], str)
        and isinstance(value[1], dict)
    )


def _name_term(term: Any) -> str:
    return str(term[1].get("name", "")) if is_part(term) else str(term)


_ALWAYS = ("dataset", "ipc")
_FIELDS = ("dataset", "ipc", "teacher", "student", "labels", "protocol", "precision", "holdout")


class Headings:
    """Splits the terms of settings into those that all share and those that tell them apart."""

    def __init__(self, settings: Iterable[Setting], without: Iterable[str] = ()) -> None:
        given = list(settings)
        fields = [name for name in _FIELDS if name not in set(without)]
        counts = {name: len({getattr(s, name) for s in given}) for name in fields}
        self.varying = [name for name in fields if counts[name] > 1]
        self.constant = [name for name in fields if counts[name] == 1]
        self._one = given[0]

    def write_title(self, kind: str) -> str:
        """Returns a title with data set and IPC, where all share them: `Kind: digits, IPC 10`."""
        words = [_write_term(self._one, name) for name in _ALWAYS if name in self.constant]
        return f"{kind}: {', '.join(words)}" if words else kind

    def write_subtitle(self) -> str:
        """Returns the rest of the terms that all share."""
        names = [name for name in self.constant if name not in _ALWAYS]
        words = {name: _write_term(self._one, name) for name in names}
        if {"teacher", "student"} <= words.keys() and self._one.teacher == self._one.student:
            words["teacher"] = f"teacher and student {self._one.teacher}"
            del words["student"]
        usual = ("", "fp32", "judged on test data")
        return ", ".join(word for word in words.values() if word not in usual)

    def write_section(self, setting: Setting) -> str:
        """Returns the terms that tell a setting from the others."""
        return ", ".join(_write_term(setting, name) for name in self.varying)


def _write_term(setting: Setting, name: str) -> str:
    value = getattr(setting, name)
    if name == "ipc":
        return format_ipc(value)
    if name == "holdout":
        part = f" ({100 * value:g} %)"
        return f"judged on held-out training images{part}" if value else "judged on test data"
    if name in ("dataset", "precision"):
        return str(value)
    return f"{name} {value}"
