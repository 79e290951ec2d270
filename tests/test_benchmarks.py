"""The benchmarks at a tiny size: their two ways give the same values.

And the page says what was not measured, and what missed its goal.
"""

import importlib.util
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import LINEAR, PICTURES

from mlrepro.layout import read_layout
from mlrepro.models.complexity.cost import measure_cost
from mlrepro.records import Choice
from mlrepro.settings.run import Run
from mlrepro.studies.runs import read_run

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results"


@pytest.fixture
def benchmark(monkeypatch):
    """Imports benchmarks/<name>.py under a name of its own.

    For tests/metrics and tests/report can be imported, too.
    """
    monkeypatch.syspath_prepend(ROOT / "benchmarks")

    def load(name: str):
        own_name = f"benchmark_{name}"
        path = ROOT / "benchmarks" / f"{name}.py"
        spec = importlib.util.spec_from_file_location(own_name, path)
        module = importlib.util.module_from_spec(spec)
        monkeypatch.setitem(sys.modules, own_name, module)
        spec.loader.exec_module(module)
        return module

    return load


# --- pictures ------------------------------------------------------------------------------------


@pytest.mark.parametrize("transform", ["none", "aam"])
def test_pictures_are_torchvisions(benchmark, tmp_path, transform):
    pictures = benchmark("pictures")
    files = pictures.generate(tmp_path, 5, 90, 60)
    ours = torch.cat(list(pictures.our_batches(files, 48, transform)))
    usual = torch.cat(list(pictures.usual_batches(files, 48, transform)))
    assert ours.shape == (5, 3, 48, 48)
    assert ours.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(ours, usual)


def test_other_ways_of_pictures_have_their_shape(benchmark, tmp_path):
    pictures = benchmark("pictures")
    files = pictures.generate(tmp_path, 2, 90, 60)

    def usual(transform: str) -> torch.Tensor:
        return torch.cat(list(pictures.usual_batches(files, 48, transform)))

    plain = usual("none")
    grey_values = (plain - usual("tensors")).abs() * 255 * 0.229
    assert grey_values.max() < 3
    assert usual("randaugment").shape == plain.shape


def test_real_pictures_are_the_first_of_a_folder(benchmark, tmp_path):
    pictures = benchmark("pictures")
    files = pictures.generate(tmp_path, 2, 90, 60)
    assert pictures.real(tmp_path, tmp_path, 1) == files[:1]
    assert pictures.real(tmp_path / "absent", tmp_path, 3) == []


# --- metrics -------------------------------------------------------------------------------------


def test_metrics_are_the_peers(benchmark):
    metrics = benchmark("metrics")
    rows = metrics.against_peers(300, 7, repeats=1) + [metrics.growth(200, 9)]
    differences = {row["peer"]: row["difference"] for row in rows if "difference" in row}

    of_torchmetrics = differences.pop("torchmetrics' exact AP", None)
    assert (of_torchmetrics is not None) == bool(metrics.installed("torchmetrics"))
    if of_torchmetrics is not None:
        assert of_torchmetrics < 1e-6  # it computes in float32
    assert {"scikit-learn's AP loop", "timm's evaluator"} <= differences.keys()
    assert max(differences.values()) < 1e-9

    growth = rows[-1]
    assert growth["peak_gib"] > 0
    assert "scores and labels are 0.00" in growth["note"]


def test_a_paired_comparison_is_the_double_loop(benchmark):
    comparison, kept = benchmark("resamples").compared(300, 7, repeats=1)
    assert comparison["difference"] < 1e-9
    assert comparison["ratio"] > 0
    assert "200 resamples" in kept["name"]


# Prints the memory that an evaluation takes beside its data, as a multiple of the data.
MEMORY_OF_EVALUATION = """
import metrics
from mlrepro.metrics import arrays
from mlrepro.metrics.average_precision import kernels

def peak():
    return 1024 * metrics.kibibytes("/proc/self/status", "VmHWM")

arrays.worker_threads = lambda: 2
data = metrics.create_data(60_000, 300)
kernels(True)  # numba itself, the same for any data
with open("/proc/self/clear_refs", "w") as file:
    file.write("5")  # the peak so far is forgotten
start = peak()
metrics.complete(*data, *(part[::-1] for part in data))
print((peak() - start) / sum(part.nbytes for part in data))
"""


def test_memory_of_the_evaluation_is_a_small_multiple_of_the_scores():
    done = subprocess.run(
        [sys.executable, "-c", MEMORY_OF_EVALUATION],
        cwd=ROOT / "benchmarks",
        capture_output=True,
        text=True,
        check=True,
    )
    assert 0 < float(done.stdout) < 0.6


# --- networks ------------------------------------------------------------------------------------


def test_heads_and_losses_have_the_loops_values(benchmark):
    heads = benchmark("heads")
    rows = heads.heads(2, 16, 3, 5, 1, "cpu") + heads.losses(4, 6, 1, "cpu")
    assert len(rows) == 5
    for row in rows:
        assert row["difference"] < 1e-4
        assert row["saved_mib"] > 0


def test_no_gpu_is_said(benchmark, monkeypatch, capsys):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(sys, "argv", ["gpu.py"])
    with pytest.raises(SystemExit) as end:
        benchmark("gpu").main()
    assert end.value.code == 2
    assert "no GPU was found" in capsys.readouterr().err


def test_sam_of_the_plain_loop_is_ours(benchmark):
    gpu = benchmark("gpu")
    batch = torch.randn(8, 3, 64, 64)
    targets = torch.eye(8, gpu.CLASSES).to(torch.int8)
    run = gpu.create_run("gap", "test_resnet", 64, 8, sam=True)
    run = run.model_copy(update={"precision": "float32"})

    def weights_after_a_step(make, *options) -> torch.Tensor:
        torch.manual_seed(0)
        model, _ = gpu.create_classifier(run, gpu.CLASSES)
        loss = gpu.create_loss(run.loss, targets, None, torch.Generator())
        step = make(run, model, loss, batch, targets, *options)
        step()
        return torch.cat([parameter.detach().flatten() for parameter in model.parameters()])

    ours = weights_after_a_step(gpu.our_step, False)  # not compiled
    plain = weights_after_a_step(gpu.plain_step)
    assert torch.allclose(ours, plain, atol=1e-6)


# --- the pipeline --------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["download", "prepare", "corrupt", "report"])
def test_stages_without_torch(benchmark, name):
    _, torch_imported = benchmark("pipeline").stage(ROOT, name)
    assert torch_imported is False


def test_a_stage_with_torch_is_seen(benchmark):
    _, torch_imported = benchmark("pipeline").stage(ROOT, "train")
    assert torch_imported is True


def test_report_stages_are_found(benchmark):
    settings = benchmark("pipeline").report_stages(ROOT)
    assert {"params.yaml", "studies/aam/params.yaml"} <= set(settings)


# --- runs ----------------------------------------------------------------------------------------


def test_the_peer_takes_the_steps_of_the_run(benchmark, repository):
    """It trains as often, and learns as much: 3 epochs of 6 batches of 16 of the 96 pictures."""
    runs = benchmark("runs")
    layout = runs.in_folder(repository)
    run = read_run(read_layout(repository / "params.yaml"), LINEAR)
    runs.write_peers_data(repository, layout)

    trained = json.loads(runs.execute(runs.peers_command("train", layout, run), repository))
    assert trained["steps"] == 3 * 6
    printed = runs.execute(runs.peers_command("evaluate", layout, run), repository)
    scores = json.loads(printed)
    assert set(scores) == {"val_best", "val_last", "test_best", "test_last"}
    assert scores["val_best"] == pytest.approx(trained["val_mAP"])
    assert all(10 < score < 100 for score in scores.values())


def test_runs_that_differ_in_their_learning_rates(benchmark, repository):
    run_ids = benchmark("runs").create_runs(repository, LINEAR, 3)
    layout = read_layout(repository / "params.yaml")
    assert layout.pipeline.runs == run_ids
    rates = {read_run(layout, run_id).optimizer.lr for run_id in run_ids}
    assert len(rates) == 3


def test_cpu_seconds_are_those_of_the_processes(benchmark):
    runs = benchmark("runs")
    program = [sys.executable, "-c", "sum(range(10**7))"]
    wall, cpu = runs.timed_children(lambda: subprocess.run(program, check=True))
    assert 0.01 < cpu < wall + 0.5
    with runs.busy(1):
        pass  # ends although the program never would


def test_page_says_which_stage_took_too_many_cpu_seconds(benchmark, tmp_path):
    def row(cpu_seconds: float) -> dict:
        times = {"ours_s": 1.0, "peer_s": 1.0, "ratio": 1.0, "ratios": [1.0]}
        return {
            "name": "n",
            "ours_cpu_s": cpu_seconds,
            "peer_cpu_s": 3.0,
            "limit_cpu_s": 6.0,
            **times,
        }

    benchmark("common").write("runs", [row(5.9), row(6.1)], "How.", tmp_path)
    page = benchmark("report").render(tmp_path)
    reached = [row[-2] for row in cells_of(page) if row[-3:-2] == ["at most 6 CPU s"]]
    assert reached == ["yes", "**no**"]
    assert "CPU seconds 5.9, the peer's 3" in page


def test_trainings_of_the_estimates_differ(benchmark):
    estimates = benchmark("estimates")
    runs = [Run(data="digits", **settings) for settings in estimates.TRAININGS.values()]
    assert len({run.run_id for run in runs}) == len(runs)
    assert {run.inputs for run in runs} == {"features", "maps", "images"}
    assert any(run.optimizer.sam_rho for run in runs)
    for run in runs:
        assert measure_cost(run, 10).gmacs > 0  # it can be built


def test_estimate_is_made_before_the_stage_runs(benchmark, repository, monkeypatch):
    estimates = benchmark("estimates")
    monkeypatch.chdir(repository)
    monkeypatch.setenv("MLREPRO_TRACKING", "none")
    layout = read_layout("params.yaml")
    weights = layout.trained(PICTURES, 0) / "best.safetensors"

    predict = estimates.predict
    trained_before = []

    def observed(*run, **speed):
        trained_before.append(weights.is_file())
        return predict(*run, **speed)

    monkeypatch.setattr(estimates, "predict", observed)
    row = estimates.compare(layout, "x", read_run(layout, PICTURES))
    assert trained_before == [False]
    assert weights.is_file()
    assert row["error"] == row["predicted_s"] / row["actual_s"] - 1
    assert row["pictures"] == {"train": 96, "val": 48, "test": 48}


# --- large manifests -----------------------------------------------------------------------------


def test_large_manifests_are_read_and_drawn_as_by_the_loop(benchmark, tmp_path):
    large = benchmark("large")
    large.generate(tmp_path, 500, 7)
    ours = large.child("ours", "all", tmp_path)
    usual = large.child("usual", "all", tmp_path)
    assert ours["digest"] == usual["digest"]
    assert ours["peak_mib"] > 0


def test_large_manifests_are_written_from_lists(benchmark, tmp_path):
    large = benchmark("large")
    large.generate(tmp_path, 500, 7)
    work = large.Ours(tmp_path)
    work.read()
    work.lists()
    work.write()
    again = (tmp_path / "again" / "manifest.parquet").read_bytes()
    assert again == (tmp_path / "manifest.parquet").read_bytes()
    assert len(work.frame) == 500


# --- rows and the page ---------------------------------------------------------------------------


def test_comparison_is_in_turn_and_its_ratio_a_median(benchmark):
    called = []
    seconds = iter([9, 9, 1, 2, 1, 4, 1, 3])  # the first two are not counted

    def clock(function):
        called.append(function())
        wall = next(seconds)
        return wall, wall / 2

    row = benchmark("common").compare("x", lambda: "ours", lambda: "peer", 3, clock, peer="p")
    assert called == ["ours", "peer"] * 4
    assert row["ratio"] == 3
    assert row["cpu_ratio"] == 3
    assert row["ratios"] == [2, 3, 4]
    assert np.isclose(row["ours_s"], 1)
    assert json.loads(json.dumps(row))["peer"] == "p"


def cells_of(page: str) -> list[list[str]]:
    """The cells of every line of a table."""
    lines = [line for line in page.splitlines() if "|" in line]
    return [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines]


GPU_RESULT = {
    "how": "What.\n\n    python benchmarks/gpu.py\n\nHow it\nis done:\n\n    a x b",
    "options": " --steps 3",
    "environment": {
        "gpu": "A card",
        "processor": "P",
        "cores": 3,
        "load": 1.5,
        "python": "3.11",
        "versions": {"torch": "2.14.1", "numpy": "2.4"},
    },
    "difference": "of a weight",
    "left_out": ["one", "two"],
    "profile": ["three", "four"],
    "rows": [
        {"name": "n", "unit": "pictures/s", "ours": 1234.5, "peer_rate": 617.0, "note": "Note."},
    ],
}
GPU_SECTION = """\
What.

How it is done:

    a x b

{table}

Largest difference: of a weight.

- n: Note.

Left out: one; two.

Where a step's time goes: three; four.

Command: `python benchmarks/gpu.py --steps 3`, its output: `gpu-cuda-torch2.14.1.json`. \
A card, 3 cores; load of the machine at the end 1.5; Python 3.11, torch 2.14.1, numpy 2.4.
"""


def test_page_shows_a_file_of_results_in_sections(benchmark, tmp_path):
    (tmp_path / "gpu-cuda-torch2.14.1.json").write_text(json.dumps(GPU_RESULT))
    page = benchmark("report").render(tmp_path)
    _, _, after_title = page.partition("\n\n## Training on a GPU\n\n")
    section, _, _ = after_title.partition("\n## ")

    table = "\n".join(line for line in section.splitlines() if line.startswith("|"))
    assert section == GPU_SECTION.format(table=table)
    row = ["n", "1,234 pictures/s", "—", "617 pictures/s", "—", "—", "—", "—", "—"]
    assert row in cells_of(table)


def test_page_says_what_was_not_measured(benchmark, tmp_path):
    report = benchmark("report")
    page = report.render(tmp_path)
    assert page.count("Not measured: `python benchmarks/") == len(report.BENCHMARKS)
    assert "`python benchmarks/heads.py --device cuda` on a machine with a GPU." in page


def test_page_says_what_missed_its_goal(benchmark, tmp_path):
    common = benchmark("common")
    compared = {
        "name": "a",
        "peer": "b",
        "ours_s": 2.0,
        "peer_s": 3.0,
        "ratio": 1.5,
        "ratios": [1.4, 1.5, 1.6],
        "goal": 3.0,
        "difference": 0.0,
    }
    fast = common.alone("c", [0.2, 0.4, 0.3], limit_s=1.0)
    small = common.alone("m", [1.0], limit_mib=1907.3, peak_mib=1907.0, peer_peak_mib=3000.0)
    large = common.alone("m", [1.0], limit_mib=1907.3, peak_mib=1908.0, peer_peak_mib=3000.0)
    rows = [compared, fast, small, large]
    common.write("metrics", rows, "What.\n\n    python benchmarks/metrics.py\n\nHow.", tmp_path)

    cells = cells_of(benchmark("report").render(tmp_path))
    ratio = "1.50 (1.40 to 1.60)"
    missed = ["a", "2.00 s", "b", "3.00 s", ratio, "—", "at least 3 times", "**no**", "0"]
    assert missed in cells
    times = "300 ms (200 ms to 400 ms)"
    assert ["c", times, "—", "—", "—", "—", "at most 1 s", "yes", "—"] in cells
    in_memory = [row[-2] for row in cells if row[-3] == "within 1,907 MiB"]
    assert in_memory == ["yes", "**no**"]


def test_page_says_which_estimates_came_near(benchmark, tmp_path):
    def row(predicted: float) -> dict:
        return {
            "name": "r",
            "epochs": 4,
            "gmacs": 0.5,
            "predicted_s": predicted,
            "actual_s": 10.0,
            "error": predicted / 10 - 1,
        }

    benchmark("common").write("estimates", [row(12.0), row(15.0)], "How.", tmp_path)
    page = benchmark("report").render(tmp_path)
    cells = cells_of(page)
    assert ["r", "4", "0.5", "12.0 s", "10.0 s", "+20 %", "yes"] in cells
    assert ["r", "4", "0.5", "15.0 s", "10.0 s", "+50 %", "**no**"] in cells
    assert "1 of 2 within 30 %." in page


def test_page_shows_the_grid_of_the_linear_mode(benchmark, tmp_path):
    recorded = sorted(RESULTS.glob("linear_search-cpu*.json"))
    shutil.copy(recorded[0], tmp_path)
    first_cells = [row[0] for row in cells_of(benchmark("report").render(tmp_path))]
    assert "VOC, 64 members, with ROLE" in first_cells


def test_every_seeded_fault_can_be_seeded(benchmark, tmp_path):
    """Its line is in the code once, what it makes of it is Python, and its tests are there."""
    seeded_faults = benchmark("seeded_faults")
    for fault in seeded_faults.FAULTS:
        path = tmp_path / fault.file
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / "src" / "mlrepro" / fault.file, path)
        seeded_faults.seed_fault(fault, tmp_path)
        compile(path.read_text(), path, "exec")
        assert (ROOT / fault.tests[0]).is_file()


def test_a_fault_is_caught_by_name(benchmark):
    seeded_faults = benchmark("seeded_faults")
    [splc] = [f for f in seeded_faults.FAULTS if f.what == "SPLC relabels above 0.61, not 0.6"]
    caught = seeded_faults.catch(splc)
    assert caught.endswith("::test_splc_relabels_above_a_probability_of_six_tenths")


# --- errors in labels ----------------------------------------------------------------------------


def test_errors_are_put_into_labels_as_said(benchmark):
    errors = benchmark("label_errors")
    random = np.random.default_rng(0)
    truth = (random.random((2000, 3)) < [0.5, 0.2, 0.02]).astype(np.int8)
    present = (truth == 1).sum()
    for kind in (errors.any_cell, errors.by_frequency):
        labels = kind(truth, np.random.default_rng(1))
        assert ((truth == 1) & (labels == 0)).sum() == round(0.03 * present)
        assert ((truth == 0) & (labels == 1)).sum() == round(0.03 * present)
    added = (truth == 0) & (labels == 1)
    assert added[:, 0].sum() > 10 * added[:, 2].sum(), "the last was by frequency"

    truth[:500, 0] = -1
    labels = errors.every_cell(truth, np.random.default_rng(1))
    assert (labels[:500, 0] == -1).all()
    assert (labels != truth).mean() == pytest.approx(0.03, abs=0.01)


def test_precision_of_the_first_hundred(benchmark):
    errors = benchmark("label_errors")
    trust = np.arange(300.0)[:, None]
    wrong = (np.arange(300) % 2 == 0)[:, None]
    assert errors.Question(np.ones((300, 1), bool), trust).precision(wrong) == 0.5
    assert errors.Question(wrong, trust).precision(wrong) == 1.0
    few = np.arange(300)[:, None] < 3
    assert errors.Question(few, trust).precision(wrong) == pytest.approx(2 / 3)


def test_page_shows_errors_in_labels(benchmark, tmp_path):
    shutil.copy(RESULTS / "label_errors-cpu-torch2.14.1.json", tmp_path)
    page = benchmark("report").render(tmp_path)
    _, _, section = page.partition("## Errors in labels\n")
    assert "| every cell " in section and "my-animals: 3411 pictures" in section


# --- which training to take ----------------------------------------------------------------------


def test_rules_of_choice(benchmark):
    """The second is best on validation by less than what other pictures would change."""
    choice = benchmark("choice")

    def candidate(validation: float, folds: float, operations: int):
        def around(mAP: float) -> Choice:
            return Choice(mAP=mAP, pictures=10, resamples=[mAP - operations, mAP + operations])

        ranked_by = {choice.BY_VALIDATION: validation, choice.CHEAPEST: validation}
        ranked_by |= {choice.USED: folds}
        of_rules = {rule: around(mAP) for rule, mAP in ranked_by.items()}
        return choice.Candidate(of_rules, mAP=0.0, operations=operations)

    cheap, best, third = candidate(59, 50, 1), candidate(60, 40, 3), candidate(50, 60, 2)
    found = [cheap, best, third]
    assert choice.chosen_by(choice.BY_VALIDATION, found) is best
    assert choice.chosen_by(choice.CHEAPEST, found) is cheap
    assert choice.chosen_by(choice.USED, found) is third


def test_page_shows_rules_of_choice(benchmark, tmp_path):
    shutil.copy(RESULTS / "choice-cpu-torch2.14.1.json", tmp_path)
    page = benchmark("report").render(tmp_path)
    _, _, section = page.partition("## Which training to take\n")
    assert "| folds, standardised, and validation " in section and "my-animals" in section


# --- forms of features ---------------------------------------------------------------------------


def test_forms_are_measured_on_pictures_that_nothing_was_chosen_by(benchmark):
    forms = benchmark("forms")
    train, val, test = forms.drawn(100, seed=3)
    assert (len(train), len(val), len(test)) == (60, 15, 25)
    assert len({*train, *val, *test}) == 100


def test_an_unknown_cell_is_neither_right_nor_wrong(benchmark):
    forms = benchmark("forms")
    scores = np.array([[0.9, 0.1], [0.8, 0.2], [0.1, 0.3]])
    labels = np.array([[1, 0], [-1, 0], [0, 0]])
    assert forms.mAP_of(scores, labels) == 100

    labels[1, 0] = 0
    labels[0, 0] = 0
    labels[2, 0] = 1
    assert forms.mAP_of(scores, labels) == pytest.approx(100 / 3)


def test_the_penalty_of_a_form_is_chosen_on_validation(benchmark, monkeypatch):
    """Of two layers, the one that is right on validation and wrong on test."""
    forms = benchmark("forms")
    pictures = 80
    train, val, test = forms.drawn(pictures, seed=0)
    labels = (np.arange(pictures) % 2)[:, None]
    features = 1.0 * labels
    features[test] = 1 - features[test]
    right, wrong = (np.array([[1.0]]), np.zeros(1)), (np.array([[-1.0]]), np.zeros(1))
    monkeypatch.setattr(forms, "ridge_layers", lambda *_: [wrong, right])
    expected = forms.mAP_of(features[test], labels[test])
    assert forms.test_map(features, labels, [1.0, 2.0], seed=0) == expected < 100


def test_page_shows_forms_of_features(benchmark, tmp_path):
    row = {"data": "mine: 9 pictures, 2 labels", "resolution": 224}
    rows = [
        row | {"backbone": "lites_mirrored", "mAP": [50.0, 60.0], "operations": 200},
        row | {"backbone": "lites", "mAP": [51.0, 59.0], "operations": 100},
    ]
    result = {"rows": rows, "environment": {}, "how": "by hand"}
    measured = benchmark("report").forms_of_features(result)
    assert "| `lites` " in measured.table
    assert "+0.00 ± 1.00" in measured.table and "0.50" in measured.table
