"""What the pipeline itself costs: DVC with nothing changed, stages' starts, all reports.

    python benchmarks/pipeline.py

In a copy of the repository in a temporary folder. The study of 40 runs is the demo's dvc.yaml with
40 run files; its outputs are small files that `dvc commit` takes for its own, so that nothing is
trained: `dvc repro` must then find every stage unchanged. Each stage that needs no torch runs for
real on the digits, in a process of its own that says at its end whether torch was imported; its
start is the same process without arguments, which imports everything at the head of the stage and
prints its usage. Committed records are what the report stage reads; all pages are one command,
`python stages/report.py params.yaml studies/aam/params.yaml ...`.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import yaml
from common import alone, parser, write

ROOT = Path(__file__).resolve().parents[1]
DVC = (sys.executable, "-m", "dvc")
QUIET = {"DVC_NO_ANALYTICS": "true", "MLREPRO_TRACKING": "none"}

# Runs a stage script, and says at its end whether it has imported torch.
WATCHED = """import atexit, runpy, sys
atexit.register(lambda: print("torch imported:", "torch" in sys.modules, flush=True))
sys.argv = sys.argv[1:]
sys.path[0] = "stages"
runpy.run_path(sys.argv[0], run_name="__main__")"""

# Stages that need no torch, and their arguments on the demo's data.
STAGES = {
    "download": ("params.yaml", "digits"),
    "prepare": ("params.yaml", "digits"),
    "corrupt": ("params.yaml",),
    "report": ("params.yaml",),
}

# What a run's stages write into its folder.
TRAINING_FILES = ("best.safetensors", "last.safetensors", "history.csv", "training.json")
EVALUATION_FILES = ("training-environment.json", "logits.safetensors", "environment.json")
SMALLEST_RESOLUTION = 32

# Of the demo's dvc.yaml, beside a train and an evaluate stage a run.
OTHER_STAGES = 7

# Goals, in seconds.
START_LIMIT = 1.0
REPORTS_LIMIT = 5.0
REPRO_LIMIT = 3.0


def execute(command: tuple[str, ...], folder: Path, check: bool = True) -> tuple[float, str]:
    """Wall seconds and what it printed. Raises RuntimeError where it failed."""
    # The copy's package, not the installed one.
    environment = os.environ | QUIET | {"PYTHONPATH": str(folder / "src")}

    start = time.perf_counter()
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, env=environment)
    seconds = time.perf_counter() - start

    if check and done.returncode:
        last_words = f"{done.stdout[-500:]}{done.stderr[-500:]}"
        raise RuntimeError(f"{' '.join(command)}: {last_words}")
    return seconds, done.stdout + done.stderr


def copy_repository(folder: Path) -> None:
    """What git tracks and what it would: no data, no outputs."""
    listing = ("git", "ls-files", "-co", "--exclude-standard")
    listed = subprocess.run(listing, cwd=ROOT, capture_output=True, text=True, check=True)
    for name in listed.stdout.splitlines():
        source = ROOT / name
        if source.is_file():
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target)

    # DVC and the stages ask git for the commit, whoever made it.
    author = ("-c", "user.name=benchmark", "-c", "user.email=benchmark@example.org")
    subprocess.run(("git", "init", "-q"), cwd=folder, check=True)
    commit = ("git", *author, "commit", "-q", "--allow-empty", "-m", "benchmark")
    subprocess.run(commit, cwd=folder, check=True)


# --- the start of stages -------------------------------------------------------------------------


def stage(folder: Path, name: str, *arguments: str) -> tuple[float, bool]:
    """Wall seconds, and whether torch was imported. No arguments: the stage prints its usage."""
    command = (sys.executable, "-c", WATCHED, f"stages/{name}.py", *arguments)
    seconds, printed = execute(command, folder, check=bool(arguments))
    return seconds, "torch imported: True" in printed


def starts(folder: Path, repeats: int) -> list[dict]:
    rows = []
    for name, arguments in STAGES.items():
        whole, torch_imported = stage(folder, name, *arguments)
        seconds = [stage(folder, name)[0] for _ in range(repeats)]
        answer = "yes" if torch_imported else "no"
        row = alone(
            f"start of {name}",
            seconds,
            limit_s=START_LIMIT,
            note=f"torch imported: {answer}; the whole stage on the demo's data: {whole:.1f} s",
            torch_imported=torch_imported,
        )
        rows.append(row)
    return rows


# --- reports -------------------------------------------------------------------------------------


def report_stages(folder: Path) -> list[str]:
    """Settings of every pipeline that has a report stage and records or printed numbers to show."""
    settings = []
    for path in sorted([folder / "dvc.yaml", *folder.glob("studies/**/dvc.yaml")]):
        stages = yaml.safe_load(path.read_text()).get("stages", {})
        for described in stages.values():
            words = str(described.get("cmd", "")).split()
            if words[1:2] == ["stages/report.py"]:
                settings.append(words[2])
    return list(dict.fromkeys(settings))


def all_reports(folder: Path, repeats: int) -> list[dict]:
    """Cold: every figure is drawn. Warm: no record has changed since.

    The latter is the usual case: one study of many has a new record.
    """
    pages = report_stages(folder)
    drawn = folder / "reports" / "figures" / "drawn"

    def render_all() -> float:
        command = (sys.executable, "stages/report.py", *pages)
        seconds, printed = execute(command, folder, check=False)
        if "error:" in printed:  # of a study whose data nobody has prepared yet
            _, _, problem = printed.partition("error:")
            print(problem.strip()[:160])
        return seconds

    cold = []
    for _ in range(repeats):
        shutil.rmtree(drawn, ignore_errors=True)
        cold.append(render_all())
    warm = [render_all() for _ in range(repeats)]

    note = f"{len(pages)} pages and the index in one command"
    figures = len(list(drawn.iterdir()))
    return [
        alone(
            "reports of all studies, every figure drawn",
            cold,
            limit_s=REPORTS_LIMIT,
            note=f"cold: {note}, {figures} figures as PNG and SVG",
        ),
        alone(
            "reports of all studies, nothing changed",
            warm,
            limit_s=REPORTS_LIMIT,
            note=f"warm: {note}, no figure drawn",
        ),
    ]


# --- DVC -----------------------------------------------------------------------------------------


def create_study(folder: Path, runs: int) -> None:
    """The demo's pipeline with `runs` runs, its outputs there and taken as they are."""
    params = folder / "params.yaml"
    settings = yaml.safe_load(params.read_text())
    run_ids = write_run_files(folder / "runs", settings["runs"][0], runs)
    params.write_text(yaml.safe_dump(settings | {"runs": run_ids}, sort_keys=False))
    (folder / "dvc.lock").unlink(missing_ok=True)

    # What the stages would have written, as far as DVC looks: every file once, each another.
    name = settings["name"]
    for run_id in run_ids:
        output = folder / "outputs" / "demo" / name / f"{run_id}-s0"
        for file in TRAINING_FILES:
            put(output / "training" / file, f"{run_id} {file}")
        for file in EVALUATION_FILES:
            put(output / file, f"{run_id} {file}")
        put(folder / "results" / name / f"{run_id}-s0.json", run_id)
    for code in ("evaluate", "extract", *run_ids):
        put(folder / "outputs" / "code" / "demo" / f"{code}.json", code)

    features = settings["features"]
    file = f"{features['backbone']}-{features['resolution']}.safetensors"
    put(folder / "data" / name / "features" / file, "features")


def write_run_files(folder: Path, example_id: str, runs: int) -> list[str]:
    """Run files that differ in their resolution alone, in place of those in `folder`."""
    example = yaml.safe_load((folder / f"{example_id}.yaml").read_text())
    shutil.rmtree(folder)
    folder.mkdir()

    run_ids = []
    for resolution in range(SMALLEST_RESOLUTION, SMALLEST_RESOLUTION + runs):
        run_id = f"linear-bce-efficientnet_lite0-digits-{resolution}"
        text = yaml.safe_dump(example | {"resolution": resolution}, sort_keys=False)
        (folder / f"{run_id}.yaml").write_text(text)
        run_ids.append(run_id)
    return run_ids


def put(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def repro(folder: Path, repeats: int, *options: str) -> tuple[list[float], float]:
    """Wall seconds of `dvc repro` with nothing changed, and of `dvc commit`.

    The latter takes the outputs for its own. options: of the former.
    """
    if not (folder / ".dvc" / "config").exists():
        execute((*DVC, "init", "-q"), folder)
    committed, _ = execute((*DVC, "commit", "-f", "-q", "dvc.yaml"), folder)

    seconds = []
    for _ in range(repeats + 1):
        taken, printed = execute((*DVC, "repro", *options), folder)
        seconds.append(taken)

        said = printed.lower()
        if "up to date" not in said or "running stage" in said:
            raise RuntimeError(f"dvc repro ran something: {printed[-800:]}")
    return seconds[1:], committed  # the first one warms up


def nothing_changed(folder: Path, runs: int, repeats: int) -> list[dict]:
    """In this repository, in one with that study alone, and in one with a single stage.

    DVC reads every dvc.yaml and dvc.lock that it finds, whichever of them it is asked for, unless
    it is asked for single stages (-s).
    """
    create_study(folder, runs)
    own = folder / "dvc.yaml"
    others = [folder / "data" / "dvc.yaml", *folder.glob("studies/**/dvc.yaml")]

    seconds, committed = repro(folder, repeats)
    stages = 2 * runs + OTHER_STAGES
    in_this = alone(
        f"nothing-changed dvc repro of {runs} runs",
        seconds,
        limit_s=REPRO_LIMIT,
        note=f"{stages} stages in one of {1 + len(others)} dvc.yaml; "
        f"dvc commit of them took {committed:.0f} s",
    )

    # Of its file alone, as the README says.
    seconds, _ = repro(folder, repeats, "-s")
    alone_in_this = alone(
        f"nothing-changed dvc repro -s of {runs} runs",
        seconds,
        limit_s=REPRO_LIMIT,
        note="its own dvc.yaml is read and no other",
    )

    # What the other studies' files cost.
    for path in others:
        path.unlink()
    seconds, _ = repro(folder, repeats)
    by_itself = alone("the same without the other studies", seconds, note="one dvc.yaml")

    # What DVC costs whatever it is asked.
    (folder / "dvc.lock").unlink()
    own.write_text("stages: {only: {cmd: python --version, deps: [params.yaml]}}\n")
    seconds, _ = repro(folder, repeats)
    one_stage = alone(
        "nothing-changed dvc repro of one stage", seconds, note="the least that DVC takes"
    )
    return [in_this, alone_in_this, by_itself, one_stage]


def main() -> None:
    given = parser(__doc__, runs=40, repeats=5).parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        copy_repository(folder)
        rows = starts(folder, given.repeats)
        rows += all_reports(folder, given.repeats)
        rows += nothing_changed(folder, given.runs, given.repeats)
    write("pipeline", rows, __doc__, given.out)


if __name__ == "__main__":
    main()
