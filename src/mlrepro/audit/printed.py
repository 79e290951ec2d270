"""A printed number beside what the protocols give."""

import re
from dataclasses import dataclass

from mlrepro.audit.evaluate import Outcome
from mlrepro.errors import InputError

FORM = re.compile(r"\d+(\.\d*)?|\.\d+")
# Numbers that are not exact in binary, such as 81.95, may be just beyond half a unit.
SLACK = 1e-9


@dataclass(frozen=True)
class PrintedNumber:
    """As somebody prints it, in percent. decimals: how many are printed."""

    text: str
    value: float
    decimals: int

    @property
    def rounding(self) -> float:
        """Half a unit of the last printed digit: what rounds to the number is within this."""
        return 0.5 * 10**-self.decimals

    def is_given_by(self, value: float) -> bool:
        return abs(value - self.value) <= self.rounding + SLACK


def read_printed(text: str) -> PrintedNumber:
    """Raises InputError for what is no number of percent."""
    plain = text.strip().removesuffix("%").strip()
    if re.fullmatch(r"\d+,\d+", plain):
        raise InputError(f"--reported {text}: write a point, {plain.replace(',', '.')}")
    if not FORM.fullmatch(plain):
        raise InputError(f"--reported {text}: no number; give it in percent, as 82.0")

    value = float(plain)
    decimals = len(plain.partition(".")[2])
    if value > 100:
        raise InputError(f"--reported {text}: above 100; give it in percent, as 82.0")
    if value <= 1:
        percent = f"{100 * value:.{max(1, decimals - 2)}f}"
        raise InputError(
            f"--reported {text}: reads as a fraction of 1; give it in percent, such as {percent}"
        )
    return PrintedNumber(plain, value, decimals)


@dataclass(frozen=True)
class Verdict:
    """nearest: outcomes by their distance to the printed number, the plainest of equal ones first.

    given_by: those of them that round to it, the plainest first.
    chance:   how many different numbers the protocols give, and how many printed numbers of this
              rounding lie between the lowest and the highest: where these are fewer, some protocol
              gives nearly any number.
    """

    printed: PrintedNumber
    nearest: list[Outcome]
    given_by: list[Outcome]
    numbers: int
    printable: int


def judge_printed(outcomes: list[Outcome], printed: PrintedNumber) -> Verdict:
    def distance(outcome: Outcome) -> tuple:
        # Rounded, so that a difference of the sixth decimal is none.
        return (round(abs(outcome.value - printed.value), 6), len(outcome.departures))

    # sorted() keeps the order of distance among the equally plain.
    nearest = sorted(outcomes, key=distance)
    given_by = [outcome for outcome in nearest if printed.is_given_by(outcome.value)]
    plainest_first = sorted(given_by, key=lambda outcome: len(outcome.departures))

    values = [outcome.value for outcome in outcomes]
    unit = 2 * printed.rounding
    return Verdict(
        printed=printed,
        nearest=nearest,
        given_by=plainest_first,
        numbers=len({round(value, 6) for value in values}),
        printable=int((max(values) - min(values)) / unit) + 1,
    )
