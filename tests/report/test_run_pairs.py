"""Which of made-up runs can be told apart: on the same resamples, and without any."""

import pytest
from test_tables import made_up_record, ranked_runs

from mlrepro.records import Record
from mlrepro.run_pairs import RunPairs, compare_runs, same_pictures

# Resamples that move both runs by far more than they move the difference.
EASY_AND_HARD = [66.0, 74.0, 68.0, 72.0, 70.0]


def shifted(points: float, wobble: float = 0.1) -> list[float]:
    signs = (1, -1, 1, -1, 0)
    both = zip(EASY_AND_HARD, signs, strict=True)
    return [value + points + sign * wobble for value, sign in both]


def pairs_of(*records: Record) -> RunPairs:
    return compare_runs(ranked_runs(*records))


def test_on_the_same_resamples_a_small_difference_is_seen():
    first = made_up_record("asl", mAP=71.0, se=3.0, resamples=shifted(1.0))
    second = made_up_record("bce", mAP=70.0, se=3.0, resamples=EASY_AND_HARD)
    pairs = pairs_of(first, second)
    [pair] = pairs.pairs
    assert pair.is_paired and pair.is_told_apart and not pair.is_apart_unpaired
    assert pair.difference.error == pytest.approx(0.1)
    assert (pairs.told_apart, pairs.apart_unpaired, pairs.ties) == (1, 0, set())


@pytest.mark.parametrize(
    "change",
    [
        {"resamples": None},
        {"resamples": shifted(1.0) + [71.0]},
        {"resamples": shifted(1.0), "scored": 998},
    ],
    ids=["an older record", "another number of resamples", "other pictures"],
)
def test_else_they_are_compared_as_if_on_pictures_of_their_own(change):
    first = made_up_record("asl", mAP=71.0, se=3.0, **change)
    second = made_up_record("bce", mAP=70.0, se=4.0, resamples=EASY_AND_HARD)
    [pair] = pairs_of(first, second).pairs
    assert not pair.is_paired and not pair.is_told_apart
    assert pair.difference.error == pytest.approx(5.0)
    assert pair.smallest == 0.5


def test_records_of_another_manifest_are_not_paired():
    first = made_up_record("asl", resamples=EASY_AND_HARD)
    second = made_up_record("bce", resamples=EASY_AND_HARD)
    assert same_pictures([first, second])
    second.provenance.__dict__["manifest_sha256"] = "another"
    assert not same_pictures([first, second])


def test_seeds_are_averaged_on_each_resample():
    """What two seeds do in opposite directions is nothing; what they do alike stays."""
    first = [
        made_up_record("asl", mAP=71.0 + seed, seed=seed, resamples=shifted(1.0 + seed, wobble))
        for seed, wobble in enumerate((2.0, -2.0))
    ]
    second = [
        made_up_record("bce", mAP=70.0 + seed, seed=seed, resamples=shifted(seed, 0.1))
        for seed in range(2)
    ]
    [pair] = pairs_of(*first, *second).pairs
    assert pair.difference.error == pytest.approx(0.1)
    assert pair.smallest == 0  # two seeds say what others would change
    assert pair.is_told_apart


def test_a_page_counts_all_pairs_and_names_the_first_ones_ties():
    records = [
        made_up_record("asl", mAP=71.0, resamples=shifted(1.0)),
        made_up_record("bce", mAP=70.9, resamples=shifted(0.9, 0.5)),
        made_up_record("bce_ls", mAP=60.0, resamples=shifted(-10.0, 0.3)),
        made_up_record("an", "single", absent=["mAP"]),
    ]
    pairs = pairs_of(*records)
    assert len(pairs.pairs) == pairs.paired == 3
    assert pairs.told_apart == 2
    assert [run.split("-")[1] for run in pairs.ties] == ["bce"]
    first, second = pairs.pairs[0].first, pairs.pairs[0].second
    assert pairs.between(second, first) is pairs.pairs[0]
    assert pairs_of(records[0]).ties == set()
