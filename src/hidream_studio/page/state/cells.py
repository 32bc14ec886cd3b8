"""The sheet as a model: which pictures stack on which, which stand together, and in what order. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from hidream_studio.job.profiles import ModelProfile
from hidream_studio.page import words
from hidream_studio.page.state.versions import LIVE, Version, badge_of, version_words


@dataclass
class Group:
    """Cells that were asked for together: a sheet, or single pictures of one prompt in a row."""

    id: str
    sheet_id: str | None
    prompt: str
    roots: list[str] = field(default_factory=list)


class SheetModel:
    """Versions in families (a draft and its finals), families in groups, newest group first."""

    def __init__(
        self, profile: ModelProfile, smaller_s: Callable[[Version], float | None] = lambda version: None
    ) -> None:
        self._profile = profile
        self._smaller_s = smaller_s
        self._versions: dict[str, Version] = {}
        self._members: dict[str, list[str]] = {}  # root key → keys of its family, oldest first
        self._root_of: dict[str, str] = {}
        self._groups: list[Group] = []
        self._group_of: dict[str, Group] = {}  # root key → group
        self._chosen: dict[str, str] = {}  # root key → the version that somebody wants to see

    def load(self, versions: Iterable[Version]) -> None:
        """Start over with these, in any order."""
        self._versions.clear()
        self._members.clear()
        self._root_of.clear()
        self._groups.clear()
        self._group_of.clear()
        for version in sorted(versions, key=lambda version: version.key):  # ids sort by the time of asking
            self.put(version)

    def put(self, version: Version) -> tuple[Group, bool]:
        """Add a version or replace the one of its key. Answers its group, and whether the group's cells changed."""
        known = version.key in self._versions
        self._versions[version.key] = version
        if known:
            return self._group_of[self._root_of[version.key]], False
        root = self._root_of.get(version.parent_id or "", version.key)
        self._root_of[version.key] = root
        self._members.setdefault(root, []).append(version.key)
        if root != version.key:
            self._chosen.pop(root, None)  # a new final shows itself
            return self._group_of[root], False
        group = self._group_for(version)
        group.roots.append(version.key)
        self._group_of[version.key] = group
        return group, True

    def drop(self, key: str) -> Group | None:
        """Take a version away. Answers its former group, which is gone where it is empty; None: all is new.

        Finals whose draft goes stand for themselves from then on, just as when the sheet is read anew.
        """
        root = self._root_of[key]
        self._chosen.pop(root, None)
        del self._versions[key]
        if root == key and len(self._members[root]) > 1:
            self.load(list(self._versions.values()))
            return None
        group = self._group_of[root]
        del self._root_of[key]
        self._members[root].remove(key)
        if not self._members[root]:
            del self._members[root], self._group_of[root]
            group.roots.remove(root)
        if not group.roots:
            self._groups.remove(group)
        return group

    def trim(self, limit: int, keep: set[str]) -> list[Group]:
        """Drop the oldest groups beyond `limit` versions, but none that is alive or holds a root of `keep`."""
        dropped: list[Group] = []
        for group in list(self._groups):
            if len(self) <= limit:
                break
            family = [version for root in group.roots for version in self.family(root)]
            if keep.isdisjoint(group.roots) and not any(version.state in LIVE for version in family):
                for version in reversed(family):  # its draft last
                    self.drop(version.key)
                dropped.append(group)
        return dropped

    def __contains__(self, key: str) -> bool:
        return key in self._versions

    def __len__(self) -> int:
        return len(self._versions)

    def __iter__(self) -> Iterator[Version]:
        return iter(self._versions.values())

    def version(self, key: str) -> Version | None:
        return self._versions.get(key)

    def root_of(self, key: str) -> str:
        return self._root_of.get(key, key)

    def choose(self, root: str, key: str) -> None:
        self._chosen[root] = key

    def front(self, root: str) -> Version | None:
        """What a cell shows: the chosen version, else what is being drawn, else the newest picture, else the oldest."""
        keys = self._members.get(root)
        if not keys:
            return None
        chosen = self._chosen.get(root)
        if chosen in self._versions and chosen is not None:
            return self._versions[chosen]
        family = [self._versions[key] for key in keys]
        for state in ("running", "finished", "queued"):
            matching = [version for version in family if version.state == state]
            if matching:
                return matching[-1]
        return family[-1]

    def shown_picture(self, root: str) -> Version | None:
        """The front, if it is a picture; else the newest picture of its family."""
        front = self.front(root)
        if front is None or front.has_image:
            return front
        return next((version for version in reversed(self.family(root)) if version.has_image), None)

    def family(self, root: str) -> list[Version]:
        return [self._versions[key] for key in self._members.get(root, [])]

    def groups(self) -> list[Group]:
        return self._groups[::-1]

    def group(self, group_id: str) -> Group | None:
        return next((group for group in self._groups if group.id == group_id), None)

    def has_live(self) -> bool:
        """Whether anything shown waits or runs."""
        return any(version.state in LIVE for version in self._versions.values())

    def cell(self, root: str) -> dict[str, Any]:
        """A cell as components/sheet.js takes it."""
        front = self.front(root)
        assert front is not None, root
        shown = [version for version in self.family(root) if version.state not in ("cancelled",) or version is front]
        return {
            "key": root,
            "front": version_words(front, self._profile, self._smaller_s(front)),
            "versions": [
                {
                    "key": version.key,
                    "badge": badge_of(version.job, self._profile),
                    "state": "waiting" if version.state == "queued" else version.state,
                    "on": version is front,
                }
                for version in shown
            ],
        }

    def group_cells(self, group: Group) -> dict[str, Any]:
        """A group as components/sheet.js takes it."""
        roots = [self._versions[root] for root in group.roots if root in self._versions]
        grid = contact_axes(roots) if group.sheet_id is not None else None
        order = [key for key in grid.order if key is not None] if grid is not None else group.roots
        ratios = [root.job.width / root.job.height for root in roots] or [1.0]
        return {
            "id": group.id,
            "prompt": words.excerpt(group.prompt),
            "facts": self._facts(roots),
            "ratio": min(ratios),  # the tallest decides, so that no row is ragged
            "sheet": group.sheet_id is not None and len(roots) > 1,
            "grid": None if grid is None else {"rows": grid.rows, "columns": grid.columns, "places": grid.places()},
            "cells": [self.cell(root) for root in order],
        }

    def _facts(self, roots: list[Version]) -> str:
        sizes = {(root.job.width, root.job.height) for root in roots}
        steps = {root.job.steps for root in roots}
        guidance = {root.job.guidance_scale for root in roots}
        parts = [words.count(len(roots), "picture")]
        parts += [words.size(*size) for size in sizes if len(sizes) == 1]
        parts += [f"{amount} steps" for amount in steps if len(steps) == 1]
        parts += [f"guidance {words.number(scale)}" for scale in guidance if len(guidance) == 1]
        pictures = {len(root.job.references) for root in roots}
        parts += [f"from {words.count(amount, 'picture')}" for amount in pictures if amount and len(pictures) == 1]
        return " · ".join(parts)

    def _group_for(self, version: Version) -> Group:
        if version.sheet_id is not None:
            for group in reversed(self._groups):
                if group.sheet_id == version.sheet_id:
                    return group
        elif self._groups and self._groups[-1].sheet_id is None and self._groups[-1].prompt == version.job.prompt:
            return self._groups[-1]
        group = Group(version.sheet_id or version.key, version.sheet_id, version.job.prompt)
        self._groups.append(group)
        return group


@dataclass(frozen=True)
class ContactAxes:
    """How a sweep lies as a table: cells row by row, with a label for each row and column."""

    rows: list[str]
    columns: list[str]
    order: list[str | None]  # keys, row by row; None where a picture was thrown out

    def places(self) -> list[tuple[int, int]]:
        """(row, column) of each key that is there, in the order of the keys."""
        return [divmod(at, len(self.columns)) for at, key in enumerate(self.order) if key is not None]


def contact_axes(roots: list[Version]) -> ContactAxes | None:
    """Rows and columns of a sweep; None where nothing but the seed differs, or where two cells claim one place."""
    axes: dict[str, list[tuple[tuple[float, ...], str]]] = {}  # of each picture: what to sort by, and its label
    for root in roots:
        job, size = root.job, (root.job.requested_width, root.job.requested_height)
        for name, value, label in (
            ("size", size, words.size(*size)),
            ("steps", (job.steps,), f"{job.steps} steps"),
            ("guidance", (job.guidance_scale,), f"guidance {words.number(job.guidance_scale)}"),
            ("seed", (job.seed,), f"seed {job.seed}"),
        ):
            axes.setdefault(name, []).append((value, label))
    swept = [name for name, labels in axes.items() if len(set(labels)) > 1]
    if not swept or swept == ["seed"]:
        return None
    column_axis = next(name for name in ("steps", "guidance", "size") if name in swept)
    row_axes = [name for name in swept if name != column_axis]
    # sorted, so that nothing changes its place when the first of a row or column is thrown out
    columns = sorted(set(axes[column_axis]))
    row_of = [tuple(axes[name][index] for name in row_axes) for index in range(len(roots))]
    rows = sorted(set(row_of))
    places = {(row, column): root.key for row, column, root in zip(row_of, axes[column_axis], roots, strict=True)}
    if len(places) != len(roots):
        return None
    order = [places.get((row, column)) for row in rows for column in columns]
    return ContactAxes([" · ".join(label for _, label in row) for row in rows], [label for _, label in columns], order)
