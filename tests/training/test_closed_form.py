"""Ridge regression by its closed form: by hand, beside scikit-learn, with unknown cells."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import Ridge

from mlrepro.errors import InputError
from mlrepro.losses import create_loss
from mlrepro.settings.run import Run
from mlrepro.training.grid.closed_form import ridge_layers, solve, squared_error
from mlrepro.training.grid.cross_validation import cross_validate, folds, standardised
from mlrepro.training.grid.data import GridData
from mlrepro.training.train import train_run

PENALTIES = [1e-3, 0.1, 10.0]


def run_of(penalty: float) -> Run:
    return Run(
        data="made_up",
        inputs="features",
        head="linear",
        backbone="resnet50",
        weights="none",
        resolution=224,
        loss={"name": "ridge", "penalty": penalty},
        epochs=1,
        batch_size=16,
    )


def made_up(rows: int, channels: int, classes: int, seed: int = 0):
    random = np.random.default_rng(seed)
    features = random.normal(size=(rows, channels)) + 3
    layer = random.normal(size=(channels, classes))
    targets = (features - 3) @ layer + random.normal(size=(rows, classes)) > 0.5
    return features, targets.astype(np.int8)


def test_two_rows_by_hand():
    # Centred, the features are -1 and 1 and the wanted values -1 and 1: X'X = X'y = 2. The mean
    # squared norm is 1, so that w = 2 / (2 + penalty). The means, 3 and 0, give b = -3 w.
    features = np.array([[2.0], [4.0]])
    targets = np.array([[0], [1]], np.int8)
    (weight, bias), (smaller, _) = ridge_layers(features, targets, [2.0, 6.0])
    assert weight == pytest.approx(np.array([[0.5]]))
    assert bias == pytest.approx(np.array([-1.5]))
    assert smaller == pytest.approx(np.array([[0.25]]))

    # The first scores are -0.5 and 0.5, each half of what is wanted.
    assert squared_error(features, targets, (weight, bias)) == pytest.approx(0.25)


@pytest.mark.parametrize(("rows", "channels"), [(200, 12), (12, 40)])
def test_the_weights_are_scikit_learns(rows, channels):
    features, targets = made_up(rows, channels, classes=5)
    centred = features - features.mean(0)
    scale = (centred**2).sum() / rows

    for penalty, (weight, bias) in zip(
        PENALTIES, ridge_layers(features, targets, PENALTIES), strict=True
    ):
        theirs = Ridge(alpha=penalty * scale, solver="svd").fit(features, 2.0 * targets - 1)
        np.testing.assert_allclose(weight, theirs.coef_, rtol=1e-6, atol=1e-9)
        np.testing.assert_allclose(bias, theirs.intercept_, rtol=1e-6, atol=1e-9)


def test_unknown_cells_weigh_nothing():
    """A class with unknown cells is what scikit-learn gives on its known rows alone."""
    features, targets = made_up(80, 10, classes=3)
    complete = targets.copy()
    targets[:30, 1] = -1
    targets[:, 2] = -1

    for k, penalty in enumerate(PENALTIES):
        weight, bias = ridge_layers(features, targets, PENALTIES)[k]
        all_known, _ = ridge_layers(features, complete, PENALTIES)[k]
        np.testing.assert_allclose(weight[0], all_known[0])

        known = features[30:]
        scale = ((known - known.mean(0)) ** 2).sum() / len(known)
        theirs = Ridge(alpha=penalty * scale).fit(known, 2.0 * complete[30:, 1] - 1)
        np.testing.assert_allclose(weight[1], theirs.coef_, rtol=1e-6, atol=1e-9)

        # Of a class that nobody knows anything of: never present.
        assert not weight[2].any()
        assert bias[2] == -1


def test_it_is_the_minimum_of_the_loss_with_the_penalty():
    features, targets = made_up(50, 6, classes=4)
    targets[:7, 1] = -1
    [(weight, bias)] = ridge_layers(features, targets, [0.3])
    loss = create_loss(run_of(0.3).loss, torch.from_numpy(targets), None, torch.Generator())

    def objective(change: float) -> float:
        moved = torch.from_numpy(features @ (weight + change).T + bias)
        error = loss(moved, torch.from_numpy(targets), torch.arange(50)).item() * targets.size
        penalty = 0.0
        for k in range(4):
            known = features[targets[:, k] != -1]
            scale = ((known - known.mean(0)) ** 2).sum() / len(known)
            penalty += 0.3 * scale * ((weight[k] + change) ** 2).sum()
        return error + penalty

    assert objective(0.0) < min(objective(1e-3), objective(-1e-3))


def test_members_are_scored_and_the_history_is_one_step():
    features, targets = made_up(120, 8, classes=3)
    rows = {"train": np.arange(60), "val": np.arange(60, 90), "test": np.arange(90, 120)}
    data = GridData(
        torch.from_numpy(features).float(),
        {"full": torch.from_numpy(targets[:60])},
        targets,
        rows,
    )

    outcomes = solve([(run_of(penalty), 0) for penalty in PENALTIES], data)
    assert [outcome.run.loss.penalty for outcome in outcomes] == PENALTIES
    for outcome in outcomes:
        [epoch] = outcome.history
        assert epoch["val_mAP"] == outcome.best.val_mAP > 60
        assert outcome.test_mAP["best"] == outcome.test_mAP["last"] > 60
        assert outcome.best.weights["weight"].dtype == torch.float32


def test_its_run_is_no_training(tmp_path):
    with pytest.raises(InputError, match="the search stage computes"):
        train_run(run_of(1.0), 0, tmp_path, tmp_path / "out", "name")
    with pytest.raises(ValueError, match="closed form"):
        Run(**run_of(1.0).model_dump() | {"optimizer": {"lr": 0.1}})


def test_cross_validation_scores_every_row_by_layers_that_did_not_see_it():
    features, targets = made_up(60, 4, classes=2)
    rows = {"train": np.arange(5, 45), "val": np.arange(45, 60), "test": np.arange(5)}
    train = torch.from_numpy(targets[5:45])
    data = GridData(torch.from_numpy(features).float(), {"full": train}, targets, rows)
    scores = cross_validate(solve([(run_of(0.1), 0)], data), data)[run_of(0.1).run_id]

    parts = folds(40)
    assert sorted(np.concatenate(parts)) == list(range(40))
    single = features.astype(np.float32).astype(np.float64)
    model, validation = single[5:45], single[45:]
    for held_out in parts:
        others = np.setdiff1d(np.arange(40), held_out)
        centred = model[others] - model[others].mean(0)
        alpha = 0.1 * (centred**2).sum() / len(others)
        theirs = Ridge(alpha=alpha).fit(model[others], 2.0 * targets[5:45][others] - 1)
        reference = theirs.predict(validation)
        expected = (theirs.predict(model[held_out]) - reference.mean(0)) / reference.std(0)
        np.testing.assert_allclose(scores[held_out], expected, rtol=1e-4, atol=1e-4)


def test_height_and_scale_of_a_fold_do_not_count():
    random = np.random.default_rng(0)
    logits, reference = random.normal(size=(9, 3)), random.normal(size=(20, 3))
    expected = standardised(logits, reference)
    np.testing.assert_allclose(standardised(3 * logits - 7, 3 * reference - 7), expected)

    # A class whose validation scores are all the same, as one that no picture shows.
    reference[:, 1] = 0.5
    np.testing.assert_allclose(standardised(logits, reference)[:, 1], logits[:, 1] - 0.5)
