"""Scores beside labels: by id and by name, in any spelling; what lacks and what is odd."""

import numpy as np
import pytest

from mlrepro.audit.class_names import COCO, are_numbered, match_classes
from mlrepro.audit.join import join
from mlrepro.audit.picture_ids import match_pictures, shared_pictures
from mlrepro.audit.tables import DIFFICULT, LabelTable, ScoreTable
from mlrepro.errors import InputError

IDS = [f"{number:06d}" for number in range(1, 13)]
CLASSES = ["aeroplane", "cat", "tvmonitor"]


def labels(**changes) -> LabelTable:
    states = np.random.default_rng(0).integers(0, 3, (12, 3)).astype(np.int8)
    table = {"source": "labels", "ids": IDS, "classes": CLASSES, "states": states} | changes
    return LabelTable(**table)


def scores(**changes) -> ScoreTable:
    values = np.random.default_rng(1).random((12, 3)).astype(np.float32)
    table = {"source": "scores", "ids": IDS, "classes": CLASSES, "values": values} | changes
    return ScoreTable(**table)


# ---- Pictures ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("spelt", "how"),
    [
        (lambda name: name, ""),
        (lambda name: f"VOC2007/JPEGImages/{name}.jpg", "without folders and suffixes"),
        (lambda name: str(int(name)), "by the number that they end with"),
        (lambda name: f"COCO_val2014_000{name}.png", "by the number that they end with"),
    ],
)
def test_rows_follow_ids_in_any_spelling(spelt, how):
    """Never the position: the rows of the scores are in another order."""
    order = np.random.default_rng(2).permutation(12)
    given = scores(ids=[spelt(IDS[row]) for row in order])
    labelled = labels()
    joined = join(given, labelled)
    for row, name in enumerate(joined.ids):
        in_scores = given.ids.index(spelt(name))
        in_labels = IDS.index(name)
        np.testing.assert_array_equal(joined.scores[row], given.values[in_scores])
        np.testing.assert_array_equal(joined.states[row], labelled.states[in_labels])

    # Ids that are alike need no word about how they were matched.
    assert any(how in note for note in joined.notes) == bool(how)


def test_file_names_or_ids_of_an_annotation_file():
    by_name = scores(ids=[f"photo {name}.jpg" for name in "abcdefghijkl"])
    labelled = labels(other_ids=[f"photo {name}.jpg" for name in "abcdefghijkl"])
    assert join(by_name, labelled).ids == IDS


def test_pictures_that_lack_are_missing_and_come_last():
    lacking, scored = IDS[:2], IDS[2:]
    backwards = scored[::-1]
    joined = join(scores(ids=backwards, values=scores().values[:10]), labels())
    assert joined.ids == [*backwards, *lacking]
    assert joined.missing.tolist() == [False] * 10 + [True] * 2

    # As if they were scored below all others.
    assert (joined.scores[10:] == 0).all()
    assert joined.lowest == 0
    [note] = [note for note in joined.notes if "2 pictures of 12" in note]
    assert "000001, 000002" in note


def test_a_picture_with_one_score_for_all_counts_as_missing():
    values = scores().values.copy()
    values[4] = 0
    values[:, 2] = np.nan
    joined = join(scores(values=values), labels())
    assert np.flatnonzero(joined.missing).tolist() == [4]
    assert joined.absent.tolist() == [False, False, True]


def test_ids_that_do_not_match_show_five_of_each_side():
    with pytest.raises(
        InputError, match=r"(?s)none of its 12.*img_0x, .*img_4x and 7.*000001, .*000005"
    ):
        join(scores(ids=[f"img_{number}x" for number in range(12)]), labels())


def test_running_numbers_are_no_ids():
    """Half of them are numbers of pictures, by chance."""
    far = [f"{number:06d}" for number in range(7, 19)]
    assert not match_pictures([f"img_{n}" for n in range(1, 13)], far).matched


def test_scores_of_train_are_told_from_those_of_test():
    trained = [f"train/{name}" for name in "abcdefghijkl"]
    labelled = labels(other_splits={"train": trained})
    with pytest.raises(InputError, match="12 of 12 are in the split 'train'.*--split train"):
        join(scores(ids=trained), labelled)
    with pytest.raises(InputError, match="8 of its 12 pictures are not in labels"):
        join(scores(ids=trained[:8] + IDS[8:]), labelled)


def test_a_picture_twice_is_refused():
    with pytest.raises(InputError, match=r"scores: 1 picture more than once \(000002\)"):
        join(scores(ids=[IDS[1], *IDS[1:]]), labels())
    with pytest.raises(InputError, match="labels: 1 picture more than once"):
        join(scores(), labels(ids=[IDS[1], *IDS[1:]]))


def test_pictures_of_validation_that_are_in_the_test():
    assert shared_pictures(["a/1.jpg", "2"], ["1", "3"]) == ["a/1.jpg"]
    assert shared_pictures(["val/1.jpg"], ["test/1.jpg"]) == []


# ---- Classes -------------------------------------------------------------------------------------


def test_columns_follow_names_with_aliases_shown():
    given = scores(classes=["TV", "dog", "Airplane"])
    joined = join(given, labels(classes=["aeroplane", "dog", "tvmonitor"]))
    np.testing.assert_array_equal(joined.scores, given.values[:, [2, 1, 0]])
    assert "Classes by another name: Airplane is aeroplane, TV is tvmonitor." in joined.notes


def test_two_names_of_one_thing_are_not_guessed():
    assert match_classes(["tv", "television", "cat"], ["tvmonitor", "cat"]).columns == [None, 2]


def test_other_classes_are_refused_or_named():
    with pytest.raises(
        InputError, match="0 of the 3 classes.*(?s:.)*Flugzeug.*(?s:.)*--class-names"
    ):
        join(scores(classes=["Flugzeug", "Katze", "Fernseher"]), labels())
    joined = join(scores(classes=["aeroplane", "cat", "background"]), labels())
    assert joined.absent.tolist() == [False, False, True]
    assert any("background" in note for note in joined.notes)


def test_columns_without_names_are_as_many_as_classes():
    joined = join(scores(classes=["0", "1", "2"]), labels())
    assert any("taken in the labels' order" in note for note in joined.notes)
    with pytest.raises(InputError, match="4 columns without names.*3 classes.*background"):
        join(scores(classes=None, values=np.random.default_rng(0).random((12, 4))), labels())
    assert are_numbered(["class_1", "class_2"]) and not are_numbered(["c_1", "d_2"])


def test_numbers_of_categories():
    """COCO's have gaps: 13 is the stop sign, the twelfth class."""
    values = np.random.default_rng(0).random((12, 3))
    boxes = scores(classes=["1", "13", "90"], values=values, is_detection=True)
    names = list(COCO.values())
    states = np.zeros((12, 80), np.int8)
    joined = join(boxes, labels(classes=names[::-1], states=states))
    np.testing.assert_array_equal(joined.scores[:, names[::-1].index("stop sign")], values[:, 1])

    of_file = labels(categories=[90, 1, 13])
    np.testing.assert_array_equal(join(boxes, of_file).scores, values[:, [2, 0, 1]])
    places = scores(classes=["0", "2", "1"], values=values, is_detection=True)
    np.testing.assert_array_equal(join(places, labels()).scores, values[:, [0, 2, 1]])


# ---- Values --------------------------------------------------------------------------------------


def test_scores_that_are_no_numbers():
    values = scores().values.copy()
    values[3, 1] = np.nan
    values[5, 1] = np.inf
    values[5, 0] = -np.inf
    broken = scores(values=values)
    with pytest.raises(
        InputError,
        match=r"1 scores are NaN and 2 infinite, of cat \(2\), aeroplane \(1\), in 000004, 000006",
    ):
        join(broken, labels())

    joined = join(broken, labels(), nan_is_zero=True)
    assert joined.scores[3, 1] == joined.scores[5, 1] == joined.scores[5, 0] == 0
    assert any("--nan zero" in note for note in joined.notes)


def test_the_lowest_score_of_logits_is_below_all():
    values = scores().values - 5
    values[2, 0] = np.nan
    joined = join(scores(values=values), labels(), nan_is_zero=True)
    assert joined.scores[2, 0] == joined.lowest < np.nanmin(values)


def test_labels_for_scores_are_refused():
    with pytest.raises(InputError, match="nothing but 0, 1.*are scores and labels exchanged"):
        join(scores(values=(scores().values > 0.5).astype(float)), labels())
    with pytest.raises(InputError, match="nothing to rank"):
        join(scores(values=np.full((12, 3), 0.2)), labels())


def test_float16_is_told_and_kept():
    half = scores(values=scores().values.astype(np.float16))
    joined = join(half, labels())
    assert joined.scores.dtype == np.float32
    np.testing.assert_array_equal(joined.scores, half.values)
    assert any("float16" in note for note in joined.notes)


def test_difficult_objects_count_as_is_said():
    joined = join(scores(), labels())
    difficult = joined.states == DIFFICULT
    for rule, value in (("ignored", -1), ("negative", 0), ("positive", 1)):
        assert (joined.labels(rule)[difficult] == value).all()


def test_rows_of_a_manifest_need_that_manifest():
    logits = scores(ids=None, classes=None, manifest_sha256="a")
    joined = join(logits, labels(manifest_sha256="a"))
    np.testing.assert_array_equal(joined.scores, logits.values)
    with pytest.raises(InputError, match="not that manifest"):
        join(logits, labels(manifest_sha256="b"))
