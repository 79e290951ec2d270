"""README.md of a model folder: a model card, as Hugging Face's hub reads it and people do.

What it says of quality comes from the run's record; of a run without one it says nothing of that.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import yaml

from mlrepro.models.pretrained import PACKAGED
from mlrepro.records import Measurement, read_record
from mlrepro.report.markdown import Markdown, code, number, table
from mlrepro.report.render import write_page
from mlrepro.report.tables import FEW_POSITIVES
from mlrepro_cli.export.trained import TrainedRun

NAME = "README.md"
SPLITS = ("train", "val", "test")
# Of labels, in the sentence that names them; the table has all.
MOST_NAMED = 30
# Between the sources of networks side by side.
BESIDE = " + "
# A normal distribution's, of a 95 % interval.
STANDARD_ERRORS = 1.96

# Metric of a record -> as the card calls it.
METRICS = {"mAP": "mAP", "tuned_CF1": "CF1 at its thresholds", "tuned_OF1": "OF1 at its thresholds"}


@dataclass(frozen=True)
class Pretrained:
    """Where the first weights of the backbone come from, and their licence as the hub names it.

    licence: none where nobody says; "" where there are no pretrained weights.
    """

    source: str
    licence: str | None


def pretrained_weights(source: str, net: object) -> Pretrained:
    """source: as training or extraction wrote it, several joined by ` + `. net: the backbone's."""
    sources = source.split(BESIDE)
    networks = [net]
    if len(sources) > 1:
        networks = [part.net for part in net.parts]

    licences = set()
    for of_network, network in zip(sources, networks, strict=False):
        licences.add(_licence(of_network, network))
    # Of several licences, a person must look at each.
    return Pretrained(source, licences.pop() if len(licences) == 1 else None)


def _licence(source: str, net: object) -> str | None:
    if source.startswith("none"):
        return ""
    if source in PACKAGED.values():
        return "apache-2.0"
    if source.startswith("timm "):
        return getattr(net, "pretrained_cfg", {}).get("license")
    return None


def write_card(trained: TrainedRun, config: dict, folder: Path) -> None:
    """Writes the card of a model whose config.json is `config`."""
    pretrained = Pretrained(**config["pretrained"])
    path = trained.layout.record(trained.run.run_id, trained.seed)
    record = read_record(path) if path.is_file() else None
    measured = record.selected if record else None
    tuned_on = trained.manifest.positives(trained.rows)

    write_page(
        "model_card.md.j2",
        folder / NAME,
        front_matter=Markdown(_front_matter(trained, config, pretrained, measured)),
        data=trained.layout.name,
        intro=trained.layout.pipeline.intro,
        record=record,
        measured=measured,
        classes=config["classes"],
        labels_named=Markdown(", ".join(code(name) for name in config["classes"][:MOST_NAMED])),
        more=max(0, len(config["classes"]) - MOST_NAMED),
        config=config,
        run=trained.run,
        seed=trained.seed,
        pretrained=pretrained,
        in_timm="architecture" in config,
        pictures={split: len(trained.manifest.rows(split)) for split in SPLITS},
        quality=_quality_table(measured) if measured else None,
        labels=_label_table(trained, config, measured, tuned_on),
        rare=int((tuned_on < FEW_POSITIVES).sum()),
        few_positives=FEW_POSITIVES,
        partial=trained.run.labels == "single",
    )


# ---- What the hub reads -------------------------------------------------------------------------


def _front_matter(
    trained: TrainedRun, config: dict, pretrained: Pretrained, measured: Measurement | None
) -> str:
    """YAML between the two lines of dashes."""
    tags = ["image-classification", "multi-label", "mlrepro"]
    facts: dict = {"pipeline_tag": "image-classification"}
    if "architecture" in config:
        facts["library_name"] = "timm"
        tags.insert(2, "timm")
    # The pictures may ask for another; so nothing is said where no weights came from elsewhere.
    if pretrained.licence != "":
        facts["license"] = pretrained.licence or "unknown"
    facts["tags"] = tags
    if measured:
        facts["metrics"] = list(METRICS)
        facts["model-index"] = [_model_index(trained, measured)]
    return yaml.safe_dump(facts, sort_keys=False, allow_unicode=True)


def _model_index(trained: TrainedRun, measured: Measurement) -> dict:
    metrics = [
        {"type": metric, "name": f"{name}, test, in percent", "value": round(value, 2)}
        for metric, name, value in _measured(measured)
    ]
    data = trained.layout.name
    return {
        "name": f"{trained.run.run_id}-s{trained.seed}",
        "results": [
            {
                "task": {"type": "image-classification", "name": "multi-label"},
                "dataset": {"name": data, "type": data, "split": "test"},
                "metrics": metrics,
            }
        ],
    }


def _measured(measured: Measurement) -> list[tuple[str, str, float]]:
    """Metric, its name on the card, percent; without those that are undefined."""
    return [
        (metric, name, measured.metrics[metric])
        for metric, name in METRICS.items()
        if measured.metrics.get(metric) is not None
    ]


# ---- Tables -------------------------------------------------------------------------------------


def _quality_table(measured: Measurement) -> str:
    rows = []
    for metric, name, value in _measured(measured):
        interval = "-"
        if metric == "mAP" and measured.mAP_se is not None:
            half = STANDARD_ERRORS * measured.mAP_se
            # Few pictures have wide intervals, but no mAP is beyond 0 or 100.
            interval = f"{max(0.0, value - half):.1f} to {min(100.0, value + half):.1f}"
        rows.append([name, number(value, 1), interval])

    # A label that no test picture has counts as 0 in the mAP, however good the model is.
    nonempty = measured.metrics.get("mAP_nonempty")
    if nonempty is not None and nonempty != measured.metrics.get("mAP"):
        rows.append(["mAP of the labels that test pictures have", number(nonempty, 1), "-"])
    return table("lrr", ["on test, in percent", "", "95 % interval"], rows)


def _label_table(
    trained: TrainedRun, config: dict, measured: Measurement | None, tuned_on: np.ndarray
) -> str:
    """A row a label: pictures that have it, AP, and the threshold with what it rests on.

    tuned_on: (C,) validation pictures with each label.
    """
    manifest = trained.manifest
    counts = {split: manifest.positives(manifest.rows(split)) for split in SPLITS}
    average_precisions = {entry.name: entry.AP for entry in measured.per_class} if measured else {}

    rows = []
    for place, name in enumerate(config["classes"]):
        threshold = config["thresholds"][place]
        quality = average_precisions.get(name)
        rows.append(
            [
                name,
                str(counts["train"][place]),
                str(counts["test"][place]),
                "-" if quality is None else number(100 * quality, 1),
                "never" if threshold is None else number(_score(threshold, config), 3),
                str(tuned_on[place]),
            ]
        )
    head = ["label", "train", "test", "AP on test", "threshold", "rests on"]
    return table("lrrrrr", head, rows)


def _score(threshold: float, config: dict) -> float:
    """Of a logit: the probability that `predict` writes."""
    return float(1 / (1 + np.exp(-config["logit_scale"] * threshold)))
