"""What an audit has found: how much it looked at, what is wrong, and how to tell both to a person and a script."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

import msgspec

from waiting_room.audit.offences import MEANING, Kind, Offence

LISTED_OF_A_KIND = 20
KEPT_OF_A_KIND = 1_000


@dataclass(slots=True)
class Verdict:
    """``looked_at``: by what was looked at, how many of it."""

    settled: bool
    looked_at: Counter[str] = field(default_factory=Counter)
    wrong: Counter[Kind] = field(default_factory=Counter)
    offences: list[Offence] = field(default_factory=list)
    """At most KEPT_OF_A_KIND of each kind; ``wrong`` counts them all."""

    @property
    def clean(self) -> bool:
        return not self.wrong

    def add(self, offence: Offence) -> None:
        self.wrong[offence.kind] += 1
        if self.wrong[offence.kind] <= KEPT_OF_A_KIND:
            self.offences.append(offence)

    def as_json(self) -> bytes:
        """For scripts: names of kinds are stable, every kind is there."""
        return msgspec.json.encode(
            {
                "clean": self.clean,
                "settled": self.settled,
                "looked_at": dict(self.looked_at),
                "wrong": {kind: self.wrong[kind] for kind in Kind},
                "offences": self.offences,
            }
        )

    def lines(self) -> Iterator[str]:
        """For a person: the figures, then the first offenders of each kind."""
        for what, count in self.looked_at.items():
            yield f"{count:>9,}  {what}"
        yield ""
        for kind in Kind:
            yield f"{self.wrong[kind]:>9,}  {kind:<18} {MEANING[kind]}"
        for kind, count in self.wrong.items():
            yield ""
            yield f"{kind}:"
            of_kind = [offence for offence in self.offences if offence.kind is kind][:LISTED_OF_A_KIND]
            for offence in of_kind:
                yield f"  {offence.booking_ref or offence.clinic_id}  {offence.what}"
            if count > len(of_kind):
                yield f"  and {count - len(of_kind):,} more"
        yield ""
        yield "clean" if self.clean else f"NOT CLEAN: {self.wrong.total():,} offences"
