"""What a comparison's first paragraph says of its runs."""

from collections import Counter
from collections.abc import Container
from dataclasses import dataclass

from mlrepro.judging import REGIMES, best_of_regime, completeness, mean_map
from mlrepro.records import Records
from mlrepro.run_pairs import RunPair, RunPairs


@dataclass(frozen=True)
class Place:
    """A run and its test mAP in percent."""

    run: str
    mAP: float


@dataclass(frozen=True)
class Lead:
    """Of the first run. second: the next in rank. ties: runs that cannot be told from the first."""

    second: Place
    pair: RunPair
    ties: int


@dataclass(frozen=True)
class RegimeGap:
    """Between the best run with full and the best with single-positive labels."""

    full: Place
    single: Place
    pair: RunPair


@dataclass(frozen=True)
class Summary:
    """What the page's first paragraph says.

    measured:   how many runs have records.
    first:      none where no run has an mAP. lead: none where no other run has one.
    regime_gap: none where all runs with an mAP are of one labels regime.
    expected:   how many runs the settings list. states: how many are complete, partial and so on.
    """

    measured: int
    first: Place | None
    lead: Lead | None
    regime_gap: RegimeGap | None
    expected: int
    states: Counter


def summarise(
    runs: Records,
    pairs: RunPairs,
    expected: dict[str, list[int]],
    failures: Container[str] = (),
) -> Summary:
    """Who is first and by how much, full against single-positive labels, what is still missing.

    `runs`: in rank order. pairs: theirs.
    """
    states = Counter(
        completeness(runs.get(run, []), seeds, run in failures) for run, seeds in expected.items()
    )
    scored = [run for run in runs if mean_map(runs[run]) is not None]
    return Summary(
        measured=len(runs),
        first=_place(runs, scored[0]) if scored else None,
        lead=_lead(runs, pairs) if pairs.pairs else None,
        regime_gap=_regime_gap(runs, pairs),
        expected=len(expected),
        states=states,
    )


def _place(runs: Records, run: str) -> Place:
    return Place(run, mean_map(runs[run]))


def _lead(runs: Records, pairs: RunPairs) -> Lead:
    # The first of all pairs is that of the first two runs.
    pair = pairs.pairs[0]
    return Lead(_place(runs, pair.second), pair, len(pairs.ties))


def _regime_gap(runs: Records, pairs: RunPairs) -> RegimeGap | None:
    best = best_of_regime(runs)
    if len(best) < len(REGIMES):
        return None
    full, single = best["full"], best["single"]
    return RegimeGap(_place(runs, full), _place(runs, single), pairs.between(full, single))
