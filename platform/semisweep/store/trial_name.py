"""Names of trials: the key, then which data it saw, then which repetition it is.

KEY              on the standard embedded data set; or of a store that did not record data
KEY-SEEN-TEST    the first digits of the fingerprint of the data, see `semisweep.data.fingerprint`
...-r2           trained anew though it had a result, and so on

Whatever has one name is the same trial; equal keys on other data are trials of their own.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

_NAME = re.compile(r"(.+?)((?:-[0-9a-f]{8}){0,2})(?:-r(\d+))?", re.ASCII | re.DOTALL)


@dataclass(frozen=True)
class TrialName:
    """A trial's name in its parts; `data` is SEEN or SEEN-TEST, with a dash before each."""

    key: str
    data: str = ""
    repetition: int = 1

    @classmethod
    def parse(cls, text: str) -> TrialName:
        """Return the parts of a name."""
        found = _NAME.fullmatch(text)
        assert found is not None, text
        return cls(found[1], found[2], int(found[3] or 1))

    @property
    def seen(self) -> str:
        """Which data decided its weights; nothing where that is not in the name."""
        return self.data[1:].partition("-")[0]

    def next(self) -> TrialName:
        """Return the name of the repetition after this one."""
        return replace(self, repetition=self.repetition + 1)

    def __str__(self) -> str:
        return f"{self.key}{self.data}" + (f"-r{self.repetition}" if self.repetition > 1 else "")


class TrialNames:
    """The names of the trials of a store, to find what an earlier state of the data was called.

    `unknown` are those that were chosen though it was not recorded which data they saw.
    """

    def __init__(self, names: Iterable[str] = ()) -> None:
        self.unknown: set[str] = set()
        self._of_key: dict[str, list[TrialName]] = {}
        for text in names:
            name = TrialName.parse(text)
            self._of_key.setdefault(name.key, []).append(name)

    def add(self, name: TrialName) -> None:
        """Take a trial that is to be begun as one of the store's."""
        self._of_key.setdefault(name.key, []).append(name)

    def chosen(self, key: str, data: str) -> TrialName:
        """Return the name of a trial on the data that are there now: its newest repetition.

        Where a store has none but one of unknown data, of an earlier version, it is that one.
        """
        own = self._of_key.get(key, ())
        same = [name for name in own if name.data == data]
        if same:
            return max(same, key=lambda name: name.repetition)
        unknown = [name for name in own if not name.data]
        if not unknown:
            return TrialName(key, data)
        self.unknown.add(str(unknown[0]))
        return unknown[0]

    def of_other_data(self, name: TrialName) -> list[TrialName]:
        """Return the trials with this key on other data, those that saw the same ones first."""
        others = [own for own in self._of_key.get(name.key, ()) if own.data != name.data]
        return sorted(others, key=lambda own: (own.seen != name.seen, own.data, -own.repetition))


def reasons(names: TrialNames, wanted: Iterable[str]) -> dict[str, int]:
    """Return why trials without a result are to run though others of their key are there.

    With the number of trials for each reason.
    """
    found: dict[str, int] = {}
    for text in wanted:
        name = TrialName.parse(text)
        why = _reason(name, names.of_other_data(name))
        if why:
            found[why] = found.get(why, 0) + 1
    return found


def _reason(name: TrialName, others: Sequence[TrialName]) -> str:
    if name.repetition > 1:
        return ASKED
    if not others:
        return ""
    if name.seen and others[0].seen == name.seen:
        return TEST_CHANGED
    return DATA_CHANGED if any(other.data for other in others) else ASKED


ASKED = "train again: that was asked for"
DATA_CHANGED = "train again: their training or validation data have changed"
TEST_CHANGED = "score again: their test data have changed"
