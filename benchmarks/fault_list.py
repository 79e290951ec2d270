"""The faults that seeded_faults.py seeds: what each is, where, and which tests should notice it.

A fault names a line by its text, so that it must be mended here where that line is rewritten;
tests/test_benchmarks.py says which.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Fault:
    """A slip in one line or two: `right` occurs once in `file` (below src/mlrepro)."""

    what: str
    file: str
    right: str
    wrong: str
    tests: tuple[str, ...]


COLE = ("tests/losses/test_cole_losses.py",)
FOLLOW_UPS = ("tests/losses/test_followups.py",)
ASL = ("tests/losses/test_asymmetric.py",)
AAM = ("tests/losses/test_angular_margin.py",)
HEADS = ("tests/models/test_heads.py",)
GRAPH_HEADS = ("tests/models/test_heads_graph.py",)
LABEL_GRAPH = ("tests/data/test_graph.py", *GRAPH_HEADS)
PRECISION = ("tests/metrics/test_average_precision.py",)
RESAMPLES = ("tests/metrics/test_bootstrap.py",)
DECISIONS = ("tests/metrics/test_thresholded.py",)
THRESHOLDS = ("tests/metrics/test_thresholds.py",)
CORRUPTION = ("tests/data/test_corruption.py",)
FORMATS = ("tests/data/test_formats_single_positive.py", "tests/data/test_formats.py")

LOSSES = [
    Fault(
        "SPLC relabels above 0.61, not 0.6",
        "losses/splc_hill.py",
        "SPLC_THRESHOLD = 0.6 ",
        "SPLC_THRESHOLD = 0.61 ",
        FOLLOW_UPS,
    ),
    Fault(
        "GR adds 1e-7 to every probability",
        "losses/generalised_robust.py",
        "log_p = F.logsigmoid(logits)",
        "log_p = torch.log(p + GR_EPSILON)",
        FOLLOW_UPS,
    ),
    Fault(
        "GR's known negatives have the 1e-7 of its positives",
        "losses/generalised_robust.py",
        "-torch.log(p + GR_EPSILON), -log_not_p",
        "-torch.log(p + GR_EPSILON), -torch.log(1 - p + GR_EPSILON)",
        FOLLOW_UPS,
    ),
    Fault(
        "GR's epochs count from 0",
        "losses/generalised_robust.py",
        "now = (epoch + 1) / epochs",
        "now = epoch / epochs",
        FOLLOW_UPS,
    ),
    Fault(
        "GR's k and v are differentiated",
        "losses/generalised_robust.py",
        "with torch.no_grad():",
        "with torch.enable_grad():",
        FOLLOW_UPS,
    ),
    Fault(
        "SPLC relabels from the first epoch on",
        "losses/splc_hill.py",
        "self.correct = epoch >= 1",
        "self.correct = epoch >= 0",
        FOLLOW_UPS,
    ),
    Fault(
        "SPLC's relabelled entries have the margin, too",
        "losses/splc_hill.py",
        "shifted = torch.where(observed == 1, logits - MARGIN, logits)",
        "shifted = torch.where(positive, logits - MARGIN, logits)",
        FOLLOW_UPS,
    ),
    Fault(
        "WAN's negatives weigh 1 / C, not 1 / (C - 1)",
        "losses/assume_negative.py",
        "return 1 / max(classes - 1, 1)",
        "return 1 / max(classes, 1)",
        COLE,
    ),
    Fault(
        "EPR's penalty is divided by C, not by C squared",
        "losses/expected_positives.py",
        "expected_positives) / p.shape[1]) ** 2",
        "expected_positives)) ** 2 / p.shape[1]",
        COLE,
    ),
    Fault(
        "ROLE: the classifier's gradient flows into the estimator's fit",
        "losses/role.py",
        "_fit(q, p.detach(), observed",
        "_fit(q, p, observed",
        COLE,
    ),
    Fault(
        "Smoothed targets are 1 - s/2 and s/2",
        "losses/binary.py",
        "    positive = targets == 1\n",
        "    positive = targets == 1\n    smoothing = smoothing / 2\n",
        COLE,
    ),
    Fault(
        "EM+APL's pseudo-labels a round are rounded, not rounded down",
        "losses/entropy_maximisation.py",
        "/ rounds).long()",
        "/ rounds).round().long()",
        FOLLOW_UPS,
    ),
    Fault(
        "LargeLoss rejects strictly above the threshold",
        "losses/large_loss.py",
        "(candidates >= threshold)",
        "(candidates > threshold)",
        FOLLOW_UPS,
    ),
    Fault(
        "ASL's clip is of the positives' probability, too",
        "losses/asymmetric.py",
        "torch.lerp(wrong_n, 1 - p, y)",
        "torch.lerp(wrong_n, 1 - wrong_n, y)",
        ASL,
    ),
    Fault(
        "ASL bounds the logarithms at 1e-7, not 1e-8",
        "losses/asymmetric.py",
        '"sum": 1e-8,',
        '"sum": 1e-7,',
        ASL,
    ),
    Fault(
        "AAM's margin is subtracted on both sides",
        "losses/angular_margin.py",
        "z_n = z_p + 2 * scale * margin if margin else z_p",
        "z_n = z_p",
        AAM,
    ),
]

HEADS_AND_GRAPHS = [
    Fault(
        "ML-Decoder: LN(q) for LN(2 q)",
        "models/heads/ml_decoder.py",
        "self.norm1(queries + self.dropout(queries))",
        "self.norm1(self.dropout(queries))",
        HEADS,
    ),
    Fault(
        "ML-Decoder: classes are dealt out to the groups in turn",
        "models/heads/ml_decoder.py",
        "by_group.flatten(1)[",
        "by_group.transpose(1, 2).flatten(1)[",
        HEADS,
    ),
    Fault(
        "CSRA's maximum is the softmax of temperature 9",
        "models/heads/csra.py",
        "if temperature == math.inf:\n",
        "temperature = min(temperature, 9)\n            if temperature == math.inf:\n",
        HEADS,
    ),
    Fault(
        "CSRA's class weights are not of unit length",
        "models/heads/csra.py",
        "unit = self.weight / self.weight.norm(dim=2, keepdim=True)",
        "unit = self.weight",
        HEADS,
    ),
    Fault(
        "Query2Label's positions count from 0",
        "models/heads/query2label.py",
        "torch.arange(1, size + 1, dtype=torch.float32)",
        "torch.arange(0, size, dtype=torch.float32)",
        HEADS,
    ),
    Fault(
        "Query2Label's values have positions, too",
        "models/heads/query2label.py",
        "self.multihead_attn(query, key, memory, need_weights=False)",
        "self.multihead_attn(query, key, key, need_weights=False)",
        HEADS,
    ),
    Fault(
        "Average and maximum are averaged, not added",
        "models/heads/pooling.py",
        "return features.mean((2, 3)) + features.amax((2, 3))",
        "return (features.mean((2, 3)) + features.amax((2, 3))) / 2",
        HEADS,
    ),
    Fault(
        "BoostLU raises the pooled scores, not the maps",
        "models/heads/boostlu.py",
        "maps = self.fc(features)\n",
        "maps = self.fc(features).mean((2, 3), keepdim=True)\n",
        ("tests/training/test_modes.py", "-k", "boostlu"),
    ),
    Fault(
        "The adjacency is normalised by rows alone",
        "models/heads/label_graph.py",
        "return (A * scale).T * scale",
        "return A * scale[:, None] ** 2",
        GRAPH_HEADS,
    ),
    Fault(
        "Edges are where P(j | i) > tau, not >=",
        "data/graph.py",
        "(conditional >= tau)",
        "(conditional > tau)",
        LABEL_GRAPH,
    ),
    Fault(
        "The re-weighting divides by the row's sum",
        "data/graph.py",
        "edges_into = edges.sum(0, keepdims=True)",
        "edges_into = edges.sum(1, keepdims=True)",
        LABEL_GRAPH,
    ),
]

METRICS = [
    Fault(
        "Average precision takes of tied pictures the positives first",
        "metrics/average_precision.py",
        "return Counts(thresholds, hits, len(ranked) - first, tied)",
        "return Counts(thresholds, hits, len(ranked) - np.searchsorted(ranked, thresholds, "
        '"right") + 1, tied)',
        PRECISION,
    ),
    Fault(
        "A class without positives counts 1",
        "metrics/average_precision.py",
        "np.nan_to_num(ap, nan=0.0)",
        "np.nan_to_num(ap, nan=1.0)",
        PRECISION,
    ),
    Fault(
        "The 11 points are taken at a recall that is rounded down",
        "metrics/average_precision.py",
        "-(-tenths // 10)",
        "tenths // 10",
        PRECISION,
    ),
    Fault(
        "The standard error divides by n, not n - 1",
        "metrics/bootstrap.py",
        "np.std(known, ddof=1)",
        "np.std(known, ddof=0)",
        RESAMPLES,
    ),
    Fault(
        "CF1 is the mean of the classes' F1",
        "metrics/thresholded.py",
        '"CF1": _harmonic_mean(class_precision, class_recall),',
        '"CF1": 100 * float(ratio(2 * hits, retrieved + positives).mean()),',
        DECISIONS,
    ),
    Fault(
        "A score on the threshold is not predicted",
        "metrics/thresholded.py",
        "compare = np.greater if strict else np.greater_equal",
        "compare = np.greater",
        DECISIONS,
    ),
    Fault(
        "Of equally good thresholds the highest is taken",
        "metrics/thresholds.py",
        "    f1 = 2 * ranked.hits / (ranked.retrieved + positives)\n"
        "    return float(ranked.thresholds[np.argmax(f1)])",
        "    f1 = 2 * ranked.hits / (ranked.retrieved + positives)\n"
        "    return float(ranked.thresholds[len(f1) - 1 - np.argmax(f1[::-1])])",
        THRESHOLDS,
    ),
]

LABELS_AND_SPLITS = [
    Fault(
        "Negatives are not shuffled where none is kept",
        "data/corruption.py",
        "        random.shuffle(negatives)\n",
        "        if corruption.negatives:\n            random.shuffle(negatives)\n",
        CORRUPTION,
    ),
    Fault(
        "One generator serves all parts",
        "data/corruption.py",
        "    random = np.random.RandomState(corruption.seed)\n",
        "    random = _ALL_PARTS.setdefault(corruption.seed, "
        "np.random.RandomState(corruption.seed))\n",
        CORRUPTION,
    ),
    Fault(
        "The observed labels are drawn after the hold-out",
        "data/corruption.py",
        '(split != "test")',
        '(split == "train")',
        (*CORRUPTION, "tests/data/test_prepare.py"),
    ),
    Fault(
        "The hold-out is rounded down",
        "data/corruption.py",
        "held = int(np.round(fraction * n))",
        "held = int(fraction * n)",
        CORRUPTION,
    ),
    Fault(
        "The first of the permutation are held out, not the last",
        "data/corruption.py",
        "return np.sort(order[: n - held]), np.sort(order[n - held :])",
        "return np.sort(order[held:]), np.sort(order[:held])",
        CORRUPTION,
    ),
    Fault(
        "COCO's ids are sorted as numbers",
        "data/formats/coco.py",
        'key=str if settings.row_order == "id_text" else None',
        "key=None",
        FORMATS,
    ),
    Fault(
        "VOC's difficult objects are positive where they should be negative",
        "data/formats/voc.py",
        'sorted(positive + difficult) if rule == "positive" else positive',
        'sorted(positive + difficult) if rule != "ignore" else positive',
        FORMATS,
    ),
    Fault(
        "The released protocol scores the last batch, too",
        "settings/run.py",
        "return pictures - pictures % self.batch_size",
        "return pictures",
        ("tests/training/test_modes.py", "-k", "released"),
    ),
    Fault(
        "Training ends one epoch after it should",
        "training/early_stopping.py",
        "scores[-1] <= max(scores) - run.stop_below",
        "scores[-1] < max(scores) - run.stop_below",
        ("tests/training/test_modes.py", "-k", "improvement"),
    ),
]

FAULTS = [*LOSSES, *HEADS_AND_GRAPHS, *METRICS, *LABELS_AND_SPLITS]

# What a fault's new line needs beside it.
ADDED = {"data/corruption.py": "_ALL_PARTS = {}\n"}
