"""The DVC pipeline that follows from a params.yaml: its stages, and what each reads and writes.

DVC cannot include one file in another, and one file with all runs would be slow, so that there is a
dvc.yaml a pipeline. People read and run them; `studies/pipelines.py` writes them, from what is
here.
"""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import yaml

from mlrepro.layout import Layout, read_layout
from mlrepro.settings.data import Features
from mlrepro.settings.run import Run, load_run
from mlrepro.studies.counts import FOLDER as COUNTS

Stage = dict[str, object]
Stages = dict[str, Stage]

EXTRACTED = ("features", "maps")  # what an extract stage makes for a run's `inputs`
EVERY_RUN = {"run": "${runs}", "seed": "${seeds}"}
ATTENTION_PICTURES = 4  # that stages/attention.py draws of a run

# Code that stages depend on file by file: a stage whose comments change takes seconds to run again.
# Extracting, training and evaluating depend on digests instead (code.py), which know no comments.
DOWNLOAD_CODE = [
    "src/mlrepro/data/download.py",
    "src/mlrepro/data/fetching",
    "src/mlrepro/data/formats",
]
PREPARE_CODE = [
    "src/mlrepro/data/archives.py",
    "src/mlrepro/data/corruption.py",
    "src/mlrepro/data/formats",
    "src/mlrepro/data/manifest.py",
    "src/mlrepro/data/picture_check.py",
    "src/mlrepro/data/prepare.py",
    "src/mlrepro/data/shards.py",
    "src/mlrepro/data/summary.py",
]
COUNT_CODE = [
    "stages/counts.py",
    "src/mlrepro/studies/counts.py",
    "src/mlrepro/studies/label_files.py",
    "src/mlrepro/data/formats",
]
CORRUPT_CODE = ["src/mlrepro/data/corruption.py", "src/mlrepro/data/manifest.py"]
CHECKPOINT_CODE = ["src/mlrepro/models/checkpoints.py", "src/mlrepro/models/weight_files.py"]
TEXT_CODE = ["src/mlrepro/models/text.py", "src/mlrepro/models/weight_files.py"]
COMPARING_CODE = [
    "src/mlrepro/run_pairs.py",
    "src/mlrepro/pairs.py",
    "src/mlrepro/metrics/bootstrap.py",
]
PAGE_CODE = [
    "src/mlrepro/report",
    "src/mlrepro/records.py",
    "src/mlrepro/environments.py",
    "src/mlrepro/judging.py",
    *COMPARING_CODE,
]
REVIEW_CODE = [
    "src/mlrepro/environments.py",
    "src/mlrepro/report",
    "src/mlrepro/review",
    *COMPARING_CODE,
]
STUDY_CODE = [
    "src/mlrepro/report",
    "src/mlrepro/studies",
    "src/mlrepro/judging.py",
    *COMPARING_CODE,
]
HEADER = """\
# Written by `python studies/pipelines.py` from params.yaml and runs/ beside it: change those.
# `dvc repro {file}` {purpose}.
"""


@dataclass(frozen=True)
class Plan:
    """What a pipeline's params.yaml and run files say, in the terms of stages."""

    layout: Layout

    @property
    def settings(self) -> str:
        return self.layout.settings.as_posix()

    @property
    def root(self) -> str | None:
        """The repository's root as seen from the pipeline's folder; none for the root's own."""
        folder = self.layout.settings.parent
        return None if folder == Path() else os.path.relpath(".", folder)

    @property
    def name(self) -> str:
        """The data set. Own data look it up, since `init-data` and people change it."""
        return "${name}" if self.is_own_data else self.layout.name

    @property
    def data(self) -> str:
        return f"data/{self.name}"

    @property
    def code(self) -> str:
        return self.layout.code.as_posix()

    @property
    def is_own_data(self) -> bool:
        return self.layout.study == "own-data"

    @property
    def describes_data(self) -> bool:
        """Whether data set and preparation are this pipeline's, and not those of data/dvc.yaml."""
        return self.layout.name in self.layout.pipeline.data

    def says(self, key: str) -> bool:
        return key in self.layout.pipeline.model_fields_set

    @cached_property
    def runs(self) -> list[Run]:
        return [load_run(self.layout.run_file(run_id)) for run_id in self.layout.pipeline.runs]

    @property
    def features(self) -> list[str]:
        """Files that the extract stage writes."""
        folder = f"{self.data}/features"
        if self.is_own_data:
            return [folder]

        chosen = self.layout.pipeline.features
        if chosen:
            return [f"{folder}/{_features_name(chosen)}.safetensors"]

        names = dict.fromkeys(_features_of(run) for run in self.runs if run.inputs in EXTRACTED)
        return [f"{folder}/{name}.safetensors" for name in names]

    @property
    def feature_keys(self) -> list[str]:
        """Keys of params.yaml that say which features there are."""
        keys = ["features"] if self.says("features") else []
        if self.is_own_data or self.says("backbones"):
            keys.append("backbones")
        return keys

    @property
    def inputs_of_training(self) -> list[str]:
        """What is made of the data set before any run begins."""
        made = [f"{self.data}/manifest.parquet"]
        if self.says("corruption"):
            made.append(f"{self.data}/observed.npz")
        if self.layout.pipeline.captions:
            made.append(f"{self.data}/captions/${{captions.name}}.safetensors")
        return made + self.features

    @property
    def pretraining(self) -> list[str]:
        """Weights that other pipelines train and runs of this one start from."""
        starts = []
        for run in self.runs:
            starts += [start for start in (run.weights, run.checkpoint) if start]
        made_here = [start for start in starts if start.startswith("outputs/")]
        return list(dict.fromkeys(made_here))

    @property
    def placed_checkpoints(self) -> bool:
        """Whether a person has to place the networks that the runs start from."""
        return bool(self.layout.pipeline.checkpoint_pages)

    @property
    def has_runs(self) -> bool:
        """False of a search alone. Own data has runs once it is described."""
        return self.is_own_data or bool(self.runs)

    @property
    def trains(self) -> bool:
        """False where checkpoints are scored as they are.

        Own data has runs once it is described.
        """
        return self.is_own_data or any(run.epochs for run in self.runs)

    @property
    def attention(self) -> list[Run]:
        """Runs whose page shows where they look."""
        shown = self.layout.pipeline.title and not self.is_own_data
        drawn = [run for run in self.runs if run.head == "query2label" and run.inputs == "images"]
        return drawn if shown else []

    def output(self, name: str) -> str:
        """A file of each run and seed below outputs/."""
        return f"outputs/{self.layout.study}/{self.name}/${{item.run}}-s${{item.seed}}/{name}"

    @property
    def record(self) -> str:
        folder = self.layout.folder / "results" / self.name
        return f"{folder.as_posix()}/${{item.run}}-s${{item.seed}}.json"

    @property
    def run_files(self) -> str:
        return (self.layout.settings.parent / "runs").as_posix()

    @property
    def run_file(self) -> str:
        return f"{self.run_files}/${{item.run}}.yaml"

    @property
    def search(self) -> str:
        return f"outputs/{self.layout.study}/{self.name}/search"

    @property
    def zero_shot(self) -> str:
        return f"outputs/{self.layout.study}/{self.name}/zero-shot"

    @property
    def page(self) -> str:
        return self.layout.page.as_posix().replace(self.layout.name, self.name)


def _features_of(run: Run) -> str:
    """The name of the features or maps that a run reads."""
    name = f"{run.backbone}-{run.resolution}"
    return f"{name}-maps" if run.inputs == "maps" else name


def _features_name(features: Features) -> str:
    name = "${features.backbone}-${features.resolution}"
    return f"{name}-maps" if features.maps else name


# ---- Stages ------------------------------------------------------------------------------------


def _stage(
    plan: Plan,
    description: str,
    command: str,
    *,
    deps: Iterable[str],
    outs: Iterable[object],
    params: Iterable[str] = (),
) -> Stage:
    """One stage. params: keys of the pipeline's params.yaml that it reads."""
    stage: Stage = {}
    if plan.root:
        stage["wdir"] = plan.root
    stage["desc"] = description
    stage["cmd"] = f"python {command}"
    stage["deps"] = [command.split()[0], *deps]
    if params:
        stage["params"] = [{plan.settings: list(params)}]
    stage["outs"] = list(outs)
    return stage


def _run_stage(
    plan: Plan,
    description: str,
    script: str,
    *,
    deps: Iterable[str],
    outs: Iterable[object],
    reads_run_file: bool = False,
) -> Stage:
    """A stage of every run and seed. Its script is no dependency: the digests of code hold it."""
    stage: Stage = {}
    if plan.root:
        stage["wdir"] = plan.root
    stage["desc"] = description
    stage["matrix"] = EVERY_RUN
    stage["cmd"] = f"python {script} {plan.settings} ${{item.run}} ${{item.seed}}"
    stage["deps"] = list(deps)
    if reads_run_file:
        stage["params"] = [{plan.run_file: None}]  # DVC's way of saying: all of the file
    stage["outs"] = list(outs)
    return stage


def _kept(path: str) -> dict:
    """An output that stays until its stage has written it anew."""
    return {path: {"persist": True}}


def _in_git(path: str) -> dict:
    """An output that git keeps, and that stays until its stage has written it anew."""
    return {path: {"cache": False, "persist": True}}


def _record(path: str) -> dict:
    """A record, which DVC removes before its stage runs; the stage puts it back at once.

    DVC has no run cache of a stage with `persist`, and `mlrepro launch` goes by the run cache.
    """
    return {path: {"cache": False}}


def _data_stages(plan: Plan) -> Stages:
    stages: Stages = {}
    if plan.describes_data:
        key = [f"data.{plan.name}"]
        # Own pictures lie where people change them, and DVC does not look there.
        looks_again = {"always_changed": True} if plan.is_own_data else {}
        stages["download"] = looks_again | _stage(
            plan,
            "archives, fetched and verified",
            f"stages/download.py {plan.settings} {plan.name}",
            deps=DOWNLOAD_CODE,
            params=key,
            outs=[f"{plan.data}/archives.json"],
        )
        files = ("manifest.parquet", "classes.json", "summary.json")
        stages["prepare"] = _stage(
            plan,
            "pictures unpacked and checked; the manifest",
            f"stages/prepare.py {plan.settings} {plan.name}",
            deps=[*PREPARE_CODE, f"{plan.data}/archives.json"],
            params=key,
            outs=[f"{plan.data}/{file}" for file in files],
        )

    if plan.says("corruption"):
        stages["corrupt"] = _stage(
            plan,
            "observed labels of the training pictures",
            f"stages/corrupt.py {plan.settings}",
            deps=[*CORRUPT_CODE, f"{plan.data}/manifest.parquet"],
            params=["corruption"],
            outs=[f"{plan.data}/observed.npz"],
        )
    return stages


def _input_stages(plan: Plan) -> Stages:
    stages: Stages = {}
    if plan.features:
        read = [f"{plan.code}/extract.json"]
        if plan.layout.pipeline.features and not plan.describes_data:
            read.append(f"{plan.data}/archives.json")  # it may hold features as published
        stages["extract"] = _stage(
            plan,
            "outputs of frozen backbones, pooled or as maps",
            f"stages/extract.py {plan.settings}",
            deps=[*read, f"{plan.data}/manifest.parquet"],
            params=plan.feature_keys,
            outs=plan.features,
        )

    if plan.layout.pipeline.captions:
        stages["embed"] = _stage(
            plan,
            "caption vectors of a frozen text model",
            f"stages/embed.py {plan.settings}",
            deps=[*TEXT_CODE, f"{plan.data}/manifest.parquet"],
            params=["captions"],
            outs=[f"{plan.data}/captions/${{captions.name}}.safetensors"],
        )

    if plan.placed_checkpoints:
        stages["fetch"] = _run_stage(
            plan,
            "the released checkpoint that a run names, placed by a person; its size and sha256",
            "stages/fetch_checkpoint.py",
            deps=["stages/fetch_checkpoint.py", *CHECKPOINT_CODE],
            outs=[plan.output("checkpoint.json")],
            reads_run_file=True,
        )
        stages["fetch"]["params"] = [{plan.run_file: ["checkpoint"]}]
    return stages


def _run_files(plan: Plan) -> list[str]:
    return [plan.run_files] if plan.has_runs else []


def _code_stage(plan: Plan) -> Stage:
    params = ["search", *plan.feature_keys] if plan.layout.pipeline.search else []
    return _stage(
        plan,
        "digests of the code behind each run, in which comments do not count",
        f"stages/code.py {plan.settings}",
        deps=["src/mlrepro", *_run_files(plan)],
        params=["runs", *params],
        outs=[plan.code],
    )


def _run_stages(plan: Plan) -> Stages:
    stages: Stages = {}
    inputs = plan.inputs_of_training
    if plan.layout.pipeline.search:
        stages["search"] = _stage(
            plan,
            "linear layers with every loss, learning rate, batch size and seed, trained together; "
            "one record a loss and seed",
            f"stages/search.py {plan.settings}",
            deps=[f"{plan.code}/search.json", f"{plan.code}/evaluate.json", *inputs],
            params=["search", *plan.feature_keys],
            outs=[plan.search, f"{plan.search}-environments"],
        )

    if plan.is_own_data:
        # What it needs may be installed, or the network be there, since it last ran in vain.
        looks_again = {"always_changed": True}
        stages["zero_shot"] = looks_again | _stage(
            plan,
            "scores from the labels' names, where `zero_shot` names a model of pictures and texts",
            f"stages/zero_shot.py {plan.settings}",
            deps=[plan.code, f"{plan.data}/manifest.parquet", *plan.features],
            outs=[_kept(plan.zero_shot)],
        )

    if not plan.has_runs:
        return stages

    checkpoint = [plan.output("checkpoint.json")] if plan.placed_checkpoints else []
    if plan.trains:
        stages["train"] = _run_stage(
            plan,
            "weights and history of one run and seed",
            "stages/train.py",
            deps=[f"{plan.code}/${{item.run}}.json", *inputs, *plan.pretraining, *checkpoint],
            outs=[plan.output("training"), plan.output("training-environment.json")],
            reads_run_file=True,
        )

    scored = [plan.output("training")]
    if not plan.trains:
        scored = [f"{plan.code}/${{item.run}}.json", f"{plan.data}/manifest.parquet", *checkpoint]
    stages["evaluate"] = _run_stage(
        plan,
        "logits and the result record of one run and seed",
        "stages/evaluate.py",
        deps=[f"{plan.code}/evaluate.json", *scored],
        outs=[
            plan.output("logits.safetensors"),
            plan.output("environment.json"),
            _record(plan.record),
        ],
        reads_run_file=not plan.trains,
    )
    return stages


def _attention_figures(plan: Plan, run: Run) -> list[str]:
    stem = f"reports/figures/{plan.layout.study}-attention-{run.run_id}-s0"
    return [f"{stem}-{number}.png" for number in range(1, ATTENTION_PICTURES + 1)]


def _page_stages(plan: Plan) -> Stages:
    """The page that compares a pipeline's own runs, and what it shows beside records."""
    stages: Stages = {}
    figures: list[str] = []
    for run in plan.attention:
        drawn = _attention_figures(plan, run)
        trained = f"outputs/{plan.layout.study}/{plan.name}/{run.run_id}-s0/training"
        stages["attention"] = _stage(
            plan,
            "where Query2Label looks for its likeliest labels, for the page",
            f"stages/attention.py {plan.settings} {run.run_id} 0",
            deps=[f"{trained}/{run.selection}.safetensors"],
            outs=[_in_git(figure) for figure in drawn],
        )
        figures += drawn

    results = f"{plan.layout.folder.as_posix()}/results/{plan.name}"
    searched = [plan.search] if plan.layout.pipeline.search else []
    if plan.is_own_data:
        searched.append(plan.zero_shot)
        looked_at = [f"{plan.data}/manifest.parquet"]
        if plan.layout.pipeline.features:
            looked_at.append(f"{plan.data}/features")
        stages["review"] = _stage(
            plan,
            "pages of labels that may be missing or wrong, and of the recommended run's mistakes",
            f"stages/review.py {plan.settings}",
            deps=[*REVIEW_CODE, *looked_at, *searched, results],
            params=["search", "runs", "seeds"],
            outs=[f"outputs/own-data/{plan.name}/review"],
        )

    shown = [key for key in ("title", "intro", "search", "orderings", "claims") if plan.says(key)]
    stages["report"] = _stage(
        plan,
        "the page and its figures, from the records",
        f"stages/report.py {plan.settings}",
        deps=[*PAGE_CODE, *_run_files(plan), *searched, results, *figures],
        params=[*shown, "runs", "seeds"],
        outs=[_in_git(plan.page)],
    )
    return stages


def _study_stages(plan: Plan) -> Stages:
    """The page of a whole study: what it prints, beside the records of all its pipelines."""
    study = plan.layout.folder.as_posix()
    texts = [f"{study}/reported.csv", f"{study}/study.yaml"]
    report = _stage(
        plan,
        "the study's page and figure, and the index of all pages",
        f"stages/report.py {plan.settings}",
        deps=[*STUDY_CODE, *texts, f"{study}/complexity.json"],
        params=["seeds"],
        outs=[_in_git(plan.page)],
    )
    # It depends on no result, so that it needs no data at hand; hence it is made anew each time.
    report = {"wdir": plan.root, "always_changed": True} | report

    complexity = _stage(
        plan,
        "parameters and MACs of the models that the printed rows name",
        f"stages/complexity.py {study}",
        deps=["src/mlrepro/models", "src/mlrepro/studies", *texts],
        outs=[_in_git(f"{study}/complexity.json")],
    )
    return {"complexity": complexity, "report": report}


# ---- Files -------------------------------------------------------------------------------------


def stages_of(layout: Layout) -> Stages:
    """All stages of one pipeline, in the order in which they run."""
    plan = Plan(layout)
    if not layout.pipeline.runs and not layout.pipeline.search:
        return _study_stages(plan)

    stages = _data_stages(plan) | {"code": _code_stage(plan)}
    stages |= _input_stages(plan) | _run_stages(plan)
    if layout.pipeline.title:
        stages |= _page_stages(plan)
    return stages


def _purpose(layout: Layout) -> str:
    if not layout.pipeline.runs and not layout.pipeline.search:
        return f"makes {layout.page.as_posix()}, without any data set at hand"
    if layout.pipeline.title:
        return (
            "trains and scores these runs after what they need, "
            "and makes the page that compares them"
        )
    return "trains and scores these runs, after what they need"


def pipeline_text(layout: Layout) -> str:
    """The dvc.yaml of a pipeline."""
    header = HEADER.format(file=layout.dvc_file, purpose=_purpose(layout))
    return header + _yaml({"stages": stages_of(layout)})


def counts_text(study: Path) -> str:
    """The dvc.yaml below `counts/` of a study: a stage for each data set that it counts."""
    names = sorted(path.stem for path in (study / COUNTS).glob("*.json"))
    folder = study / COUNTS
    file = (folder / "dvc.yaml").as_posix()
    purpose = "counts label files that a person has placed in data/<data set>/labels"
    stages = {}
    for name in names:
        stages[f"count-{name}"] = {
            "wdir": os.path.relpath(".", folder),
            "desc": "pictures, classes and labels, from label files alone",
            "cmd": f"python stages/counts.py {study.as_posix()} {name}",
            "deps": [*COUNT_CODE, f"data/{name}/labels"],
            "params": [{"data/params.yaml": [f"data.{name}"]}],
            "outs": [_in_git(f"{folder.as_posix()}/{name}.json")],
        }
    return HEADER.format(file=file, purpose=purpose) + _yaml({"stages": stages})


def tables_text(study: Path) -> str:
    """The dvc.yaml below `tables/` of a study: the pipelines of all data sets, then the page."""
    searches = []
    for settings in sorted(study.glob("*/params.yaml")):
        layout = read_layout(settings)
        searches.append(Plan(layout).search)

    file = (study / "tables" / "dvc.yaml").as_posix()
    purpose = "fetches the data sets, trains and scores every run, and renders the page"
    command = f"python stages/report.py {study.as_posix()}/params.yaml"
    stage = {
        "wdir": os.path.relpath(".", study / "tables"),
        "desc": "the study's page from the records of all data sets",
        "cmd": command,
        "deps": [f"{study.as_posix()}/complexity.json", f"{study.as_posix()}/results", *searches],
    }
    return HEADER.format(file=file, purpose=purpose) + _yaml({"stages": {"tables": stage}})


def pipeline_files(root: Path = Path("studies")) -> dict[Path, str]:
    """What every dvc.yaml below `root` should hold."""
    files = {}
    for settings in sorted(root.rglob("params.yaml")):
        files[settings.with_name("dvc.yaml")] = pipeline_text(read_layout(settings))
    for folder in sorted(root.glob(f"*/{COUNTS}")):
        files[folder / "dvc.yaml"] = counts_text(folder.parent)
    for folder in sorted(root.glob("*/tables")):
        files[folder / "dvc.yaml"] = tables_text(folder.parent)
    return files


class _Dumper(yaml.SafeDumper):
    """YAML as people write it: items of a list are indented, and an empty value is empty."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        super().increase_indent(flow, False)

    def ignore_aliases(self, data: object) -> bool:
        return True


_Dumper.add_representer(
    type(None), lambda dumper, _: dumper.represent_scalar("tag:yaml.org,2002:null", "")
)


def _yaml(values: dict) -> str:
    return yaml.dump(values, Dumper=_Dumper, sort_keys=False, width=1000, allow_unicode=True)
