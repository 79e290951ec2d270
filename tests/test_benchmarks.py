"""The benchmarks at a tiny size: their two ways give the same values, and the page says what was not measured."""

import importlib.util
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import PICTURES

from mlrepro.layout import read_layout
from mlrepro.models.complexity import measure_cost
from mlrepro.settings.run import Run

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def benchmark(monkeypatch):
    """Imports benchmarks/<name>.py under a name of its own: tests/metrics and tests/report are importable, too."""
    monkeypatch.syspath_prepend(ROOT / "benchmarks")

    def load(name: str):
        spec = importlib.util.spec_from_file_location(
            f"benchmark_{name}", ROOT / "benchmarks" / f"{name}.py"
        )
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    return load


@pytest.mark.parametrize("transform", ["none", "aam"])
def test_pictures_are_torchvisions(benchmark, tmp_path, transform):
    pictures = benchmark("pictures")
    files = pictures.generate(tmp_path, 5, 90, 60)
    ours = torch.cat(list(pictures.our_batches(files, 48, transform)))
    assert ours.shape == (5, 3, 48, 48) and ours.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(ours, torch.cat(list(pictures.usual_batches(files, 48, transform))))


def test_other_ways_of_pictures_have_their_shape(benchmark, tmp_path):
    pictures = benchmark("pictures")
    files = pictures.generate(tmp_path, 2, 90, 60)
    plain, tensors, augmented = (
        torch.cat(list(pictures.usual_batches(files, 48, transform)))
        for transform in ("none", "tensors", "randaugment")
    )
    assert ((plain - tensors).abs() * 255 * 0.229).max() < 3 and augmented.shape == plain.shape
    assert (
        pictures.real(tmp_path / "absent", tmp_path, 3) == []
        and pictures.real(tmp_path, tmp_path, 1) == files[:1]
    )


def test_metrics_are_the_peers(benchmark):
    metrics = benchmark("metrics")
    rows = metrics.against_peers(300, 7, repeats=1) + [metrics.growth(200, 9)]
    found = {row["peer"]: row["difference"] for row in rows if "difference" in row}
    assert ("torchmetrics' exact AP" in found) == bool(metrics.installed("torchmetrics"))
    assert found.pop("torchmetrics' exact AP", 0) < 1e-6  # it computes in float32
    assert {"scikit-learn's AP loop", "timm's evaluator"} <= set(found) and max(
        found.values()
    ) < 1e-9
    assert rows[-1]["peak_gib"] > 0 and "scores and labels are 0.00" in rows[-1]["note"]


def test_memory_of_the_evaluation_is_a_small_multiple_of_the_scores():
    code = (
        "import metrics as m, os; os.cpu_count = lambda: 2; d = m.create_data(60_000, 300);"
        "from mlrepro.metrics.average_precision import kernels; kernels(True);"  # numba itself, the same for any data
        "open('/proc/self/clear_refs', 'w').write('5');"  # the peak so far is forgotten
        "start = m.kibibytes('/proc/self/status', 'VmHWM'); m.complete(*d, *(part[::-1] for part in d));"
        "print(1024 * (m.kibibytes('/proc/self/status', 'VmHWM') - start) / sum(part.nbytes for part in d))"
    )
    run = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT / "benchmarks",
        capture_output=True,
        text=True,
        check=True,
    )
    assert 0 < float(run.stdout) < 0.6


def test_heads_and_losses_have_the_loops_values(benchmark):
    heads = benchmark("heads")
    rows = heads.heads(2, 16, 3, 5, 1, "cpu") + heads.losses(4, 6, 1, "cpu")
    assert len(rows) == 5 and max(row["difference"] for row in rows) < 1e-4
    assert all(row["saved_mib"] > 0 for row in rows)


def test_stages_without_torch(benchmark):
    pipeline = benchmark("pipeline")
    assert [
        pipeline.stage(ROOT, name)[1] for name in ("download", "prepare", "corrupt", "report")
    ] == [False] * 4
    assert pipeline.stage(ROOT, "train")[1] is True  # so the check can see one
    assert {"params.yaml", "studies/aam/params.yaml"} <= set(pipeline.report_stages(ROOT))


def test_no_gpu_is_said(benchmark, monkeypatch, capsys):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(sys, "argv", ["gpu.py"])
    with pytest.raises(SystemExit) as end:
        benchmark("gpu").main()
    assert end.value.code == 2 and "no GPU was found" in capsys.readouterr().err


def test_sam_of_the_plain_loop_is_ours(benchmark):
    gpu, weights = benchmark("gpu"), []
    batch, targets = torch.randn(8, 3, 64, 64), torch.eye(8, gpu.CLASSES).to(torch.int8)
    run = gpu.create_run("gap", "test_resnet", 64, 8, sam=True).model_copy(
        update={"precision": "float32"}
    )
    for make in (lambda *parts: gpu.our_step(*parts, False), gpu.plain_step):
        torch.manual_seed(0)
        model = gpu.create_classifier(run, gpu.CLASSES)[0]
        make(
            run, model, gpu.create_loss(run.loss, targets, None, torch.Generator()), batch, targets
        )()
        weights.append(torch.cat([p.detach().flatten() for p in model.parameters()]))
    assert torch.allclose(*weights, atol=1e-6)


def test_estimate_is_made_before_the_stage_runs(benchmark, repository, monkeypatch):
    estimates = benchmark("estimates")
    runs = [Run(data="digits", **settings) for settings in estimates.TRAININGS.values()]
    assert len({run.run_id for run in runs}) == len(runs)
    assert all(measure_cost(run, 10).gmacs > 0 for run in runs)  # each can be built
    assert {run.inputs for run in runs} == {"features", "maps", "images"} and any(
        run.optimizer.sam_rho for run in runs
    )
    monkeypatch.chdir(repository)
    monkeypatch.setenv("MLREPRO_TRACKING", "none")
    layout, trained = read_layout("params.yaml"), []
    weights = layout.trained(PICTURES, 0) / "best.safetensors"
    predict = estimates.predict
    monkeypatch.setattr(
        estimates,
        "predict",
        lambda *run, **speed: trained.append(weights.is_file()) or predict(*run, **speed),
    )
    row = estimates.compare(layout, "x", layout.run(PICTURES))
    assert trained == [False] and weights.is_file()
    assert row["error"] == row["predicted_s"] / row["actual_s"] - 1 and row["pictures"] == {
        "train": 96,
        "val": 48,
        "test": 48,
    }


def test_page_says_what_was_not_measured_and_what_missed_its_goal(benchmark, tmp_path):
    common, report = benchmark("common"), benchmark("report")
    page = report.render(tmp_path)
    assert page.count("Not measured: `python benchmarks/") == len(report.BENCHMARKS)
    rows = [
        {
            "name": "a",
            "peer": "b",
            "ours_s": 2.0,
            "peer_s": 3.0,
            "ratio": 1.5,
            "ratios": [1.4, 1.5, 1.6],
            "goal": 3.0,
            "difference": 0.0,
        },
        common.alone("c", [0.2, 0.4, 0.3], limit_s=1.0),
    ]
    rows += [
        common.alone("m", [1.0], limit_mib=1907.3, peak_mib=peak, peer_peak_mib=3000.0)
        for peak in (1907.0, 1908.0)
    ]
    common.write("metrics", rows, "What.\n\n    python benchmarks/metrics.py\n\nHow.", tmp_path)
    shutil.copy(
        *[(ROOT / "benchmarks" / "results").glob("linear_search-cpu*.json").__next__(), tmp_path]
    )
    rows = [
        {
            "name": "r",
            "epochs": 4,
            "gmacs": 0.5,
            "predicted_s": predicted,
            "actual_s": 10.0,
            "error": predicted / 10 - 1,
        }
        for predicted in (12.0, 15.0)
    ]
    common.write("estimates", rows, "How.", tmp_path)
    cells = [
        [cell.strip() for cell in line.split("|")[1:-1]]
        for line in report.render(tmp_path).splitlines()
        if "|" in line
    ]
    assert [
        "a",
        "2.00 s",
        "b",
        "3.00 s",
        "1.50 (1.40 to 1.60)",
        "—",
        "at least 3 times",
        "**no**",
        "0",
    ] in cells
    assert [
        "c",
        "300 ms (200 ms to 400 ms)",
        "—",
        "—",
        "—",
        "—",
        "at most 1 s",
        "yes",
        "—",
    ] in cells
    assert [row[-2] for row in cells if row[-3] == "within 1,907 MiB"] == ["yes", "**no**"]
    assert ["r", "4", "0.5", "12.0 s", "10.0 s", "+20 %", "yes"] in cells
    assert ["r", "4", "0.5", "15.0 s", "10.0 s", "+50 %", "**no**"] in cells
    assert "1 of 2 within 30 %." in report.render(tmp_path)


def test_comparison_is_in_turn_and_its_ratio_a_median(benchmark):
    called, seconds = [], iter([9, 9, 1, 2, 1, 4, 1, 3])

    def clock(function):
        called.append(function())
        return (value := next(seconds), value / 2)

    row = benchmark("common").compare("x", lambda: "ours", lambda: "peer", 3, clock, peer="p")
    assert (
        called == ["ours", "peer"] * 4
        and row["ratio"] == 3
        and row["cpu_ratio"] == 3
        and row["ratios"] == [2, 3, 4]
    )
    assert json.loads(json.dumps(row))["peer"] == "p" and np.isclose(row["ours_s"], 1)


def test_large_manifests_are_read_and_drawn_as_by_the_loop(benchmark, tmp_path):
    large = benchmark("large")
    large.generate(tmp_path, 500, 7)
    found = {way: large.child(way, "all", tmp_path) for way in ("ours", "usual")}
    assert found["ours"]["digest"] == found["usual"]["digest"] and found["ours"]["peak_mib"] > 0
    held = {}
    steps = large.ours(tmp_path, held)
    for step in (*large.before("write"), "write"):
        steps[step]()
    again = (tmp_path / "again" / "manifest.parquet").read_bytes()
    assert again == (tmp_path / "manifest.parquet").read_bytes() and len(held["frame"]) == 500
