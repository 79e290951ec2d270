"""What the pipeline itself costs: DVC with nothing changed, the start of stages that need no torch, the reports of all studies.

    python benchmarks/pipeline.py

In a copy of the repository in a temporary folder. The study of 40 runs is the demo's dvc.yaml with 40 run files; its outputs are
small files that `dvc commit` takes for its own, so that nothing is trained: `dvc repro` must then find every stage unchanged.
Each stage runs for real on the digits, in a process of its own that says at its end whether torch was imported; its start is the
same process without arguments, which imports everything at the head of the stage and prints its usage. Committed records
are what the report stage reads; all pages are one command, `python stages/report.py params.yaml studies/aam/params.yaml ...`.
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
WATCHED = """import atexit, runpy, sys
atexit.register(lambda: print("torch imported:", "torch" in sys.modules, flush=True))
sys.argv = sys.argv[1:]
sys.path[0] = "stages"
runpy.run_path(sys.argv[0], run_name="__main__")"""
QUIET = {"DVC_NO_ANALYTICS": "true", "MLREPRO_TRACKING": "none"}


def execute(command: list[str], folder: Path, check: bool = True) -> tuple[float, str]:
    """Wall seconds and what it printed. Raises RuntimeError where it failed."""
    start = time.perf_counter()
    environment = {**os.environ, **QUIET, "PYTHONPATH": str(folder / "src")}
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, env=environment)
    if check and done.returncode:
        raise RuntimeError(f"{' '.join(command)}: {done.stdout[-500:]}{done.stderr[-500:]}")
    return time.perf_counter() - start, done.stdout + done.stderr


def copy_repository(folder: Path) -> None:
    """What git tracks and what it would: no data, no outputs."""
    command = ["git", "ls-files", "-co", "--exclude-standard"]
    for name in subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.splitlines():
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, folder / name)
    for command in (
        ["init", "-q"],
        ["-c", "user.name=b", "-c", "user.email=b@b", "commit", "-q", "--allow-empty", "-m", "b"],
    ):
        subprocess.run(["git", *command], cwd=folder, check=True)


def stage(folder: Path, name: str, *arguments: str) -> tuple[float, bool]:
    """Wall seconds, and whether torch was imported. No arguments: the stage prints its usage."""
    seconds, printed = execute(
        [sys.executable, "-c", WATCHED, f"stages/{name}.py", *arguments],
        folder,
        check=bool(arguments),
    )
    return seconds, "torch imported: True" in printed


def starts(folder: Path, repeats: int) -> list[dict]:
    real = {
        "download": ["params.yaml", "digits"],
        "prepare": ["params.yaml", "digits"],
        "corrupt": ["params.yaml"],
        "report": ["params.yaml"],
    }
    rows = []
    for name, arguments in real.items():
        whole, imported = stage(folder, name, *arguments)
        seconds = [stage(folder, name)[0] for _ in range(repeats)]
        rows.append(
            alone(
                f"start of {name}",
                seconds,
                limit_s=1.0,
                note=f"torch imported: {'yes' if imported else 'no'}; "
                f"the whole stage on the demo's data: {whole:.1f} s",
                torch_imported=imported,
            )
        )
    return rows


def report_stages(folder: Path) -> list[str]:
    """Settings of every pipeline that has a report stage and records or printed numbers to show."""
    found = []
    for path in sorted([folder / "dvc.yaml", *folder.glob("studies/**/dvc.yaml")]):
        for described in yaml.safe_load(path.read_text()).get("stages", {}).values():
            words = str(described.get("cmd", "")).split()
            if words[1:2] == ["stages/report.py"] and words[2] not in found:
                found.append(words[2])
    return found


def all_reports(folder: Path, repeats: int) -> list[dict]:
    """Cold: every figure is drawn. Warm: no record has changed since, as when one study of many has a new one."""
    pages, drawn = report_stages(folder), folder / "reports" / "figures" / "drawn"

    def all_pages(cold: bool) -> float:
        if cold:
            shutil.rmtree(drawn, ignore_errors=True)
        seconds, printed = execute(
            [sys.executable, "stages/report.py", *pages], folder, check=False
        )
        if "error:" in printed:  # of a study whose data nobody has prepared yet
            print(printed.partition("error:")[2].strip()[:160])
        return seconds

    cold, warm = ([all_pages(cold) for _ in range(repeats)] for cold in (True, False))
    note = f"{len(pages)} pages and the index in one command"
    return [
        alone(
            "reports of all studies, every figure drawn",
            cold,
            limit_s=5.0,
            note=f"cold: {note}, {len(list(drawn.iterdir()))} figures as PNG and SVG",
        ),
        alone(
            "reports of all studies, nothing changed",
            warm,
            limit_s=5.0,
            note=f"warm: {note}, no figure drawn",
        ),
    ]


def create_study(folder: Path, runs: int) -> None:
    """The demo's pipeline with `runs` runs, its outputs there and taken as they are."""
    settings = yaml.safe_load((folder / "params.yaml").read_text())
    example = yaml.safe_load((folder / "runs" / f"{settings['runs'][0]}.yaml").read_text())
    shutil.rmtree(folder / "runs"), (folder / "runs").mkdir()
    (folder / "dvc.lock").unlink(missing_ok=True)
    settings["runs"] = [f"linear-bce-efficientnet_lite0-digits-{32 + i}" for i in range(runs)]
    for i, name in enumerate(settings["runs"]):
        (folder / "runs" / f"{name}.yaml").write_text(
            yaml.safe_dump(example | {"resolution": 32 + i}, sort_keys=False)
        )
    (folder / "params.yaml").write_text(yaml.safe_dump(settings, sort_keys=False))
    for name in settings["runs"]:
        outputs = folder / "outputs" / "demo" / settings["name"] / f"{name}-s0"
        (outputs / "training").mkdir(parents=True, exist_ok=True)
        for file in ("best.safetensors", "last.safetensors", "history.csv", "training.json"):
            (outputs / "training" / file).write_text(f"{name} {file}")
        (outputs / "logits.safetensors").write_text(name)
        (folder / "results" / settings["name"] / f"{name}-s0.json").write_text(name)
    (folder / "outputs" / "code").mkdir()
    for kind in ("train", "evaluate"):
        (folder / "outputs" / "code" / f"{kind}.json").write_text(kind)
    features = settings["features"]
    path = (
        folder
        / "data"
        / settings["name"]
        / "features"
        / f"{features['backbone']}-{features['resolution']}.safetensors"
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("features")


def repro(folder: Path, repeats: int) -> tuple[list[float], float]:
    """Wall seconds of `dvc repro` with nothing changed, and of the `dvc commit` that takes the outputs for its own."""
    dvc = [sys.executable, "-m", "dvc"]
    if not (folder / ".dvc" / "config").exists():
        execute([*dvc, "init", "-q"], folder)
    committed, _ = execute([*dvc, "commit", "-f", "-q", "dvc.yaml"], folder)
    seconds = []
    for _ in range(repeats + 1):
        took, printed = execute([*dvc, "repro"], folder)
        if "up to date" not in printed.lower() or "running stage" in printed.lower():
            raise RuntimeError(f"dvc repro ran something: {printed[-800:]}")
        seconds.append(took)
    return seconds[1:], committed


def nothing_changed(folder: Path, runs: int, repeats: int) -> list[dict]:
    """In this repository, in one whose only dvc.yaml is that study's, and in one with a single stage: DVC reads every dvc.yaml
    and dvc.lock that it finds, whichever of them it is asked for."""
    create_study(folder, runs)
    every = [folder / "dvc.yaml", folder / "data" / "dvc.yaml", *folder.glob("studies/**/dvc.yaml")]
    seconds, committed = repro(folder, repeats)
    rows = [
        alone(
            f"nothing-changed dvc repro of {runs} runs",
            seconds,
            limit_s=3.0,
            note=f"{2 * runs + 7} stages in one of {len(every)} dvc.yaml; dvc commit of them took {committed:.0f} s",
        )
    ]
    for path in every[1:]:
        path.unlink()
    rows.append(
        alone("the same without the other studies", repro(folder, repeats)[0], note="one dvc.yaml")
    )
    (folder / "dvc.lock").unlink()
    every[0].write_text("stages: {only: {cmd: python --version, deps: [params.yaml]}}\n")
    rows.append(
        alone(
            "nothing-changed dvc repro of one stage",
            repro(folder, repeats)[0],
            note="the least that DVC takes",
        )
    )
    return rows


def main() -> None:
    options = parser(__doc__, runs=40, repeats=5)
    given = options.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        copy_repository(folder)
        rows = [
            *starts(folder, given.repeats),
            *all_reports(folder, given.repeats),
            *nothing_changed(folder, given.runs, given.repeats),
        ]
    write("pipeline", rows, __doc__, given.out)


if __name__ == "__main__":
    main()
