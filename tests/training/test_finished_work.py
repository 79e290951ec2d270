"""What a training, an extraction or an evaluation has finished stays until DVC holds it.

With a real DVC, whose cache is full, which is killed, and whose stages fail.
"""

import shutil
import subprocess
from contextlib import suppress
from pathlib import Path

import pytest
import yaml
from conftest import (
    DVC_ENVIRONMENT,
    LINEAR,
    ROLE,
    init_dvc,
    run_settings,
    small_disk,
    stage,
    write_yaml,
)
from test_resume import results, trained, wait_for_checkpoint


@pytest.fixture
def dvc_repository(repository) -> Path:
    """A repository in which all is made that trainings need."""
    stage(repository, "code", "params.yaml")
    init_dvc(repository, scm=False)
    return repository


def start_dvc(repository: Path, *words: str) -> subprocess.Popen:
    return subprocess.Popen(
        ["dvc", *words],
        cwd=repository,
        env=DVC_ENVIRONMENT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def dvc(repository: Path, *words: str, fails: bool = False) -> str:
    """What it printed."""
    process = start_dvc(repository, *words)
    output, _ = process.communicate()
    assert bool(process.returncode) == fails, output
    return output


def notes(repository: Path) -> list[Path]:
    """Of trainings that have ended and that DVC may not hold yet."""
    return list((repository / ".checkpoints").glob("*/finished.json"))


# ---- Trainings ---------------------------------------------------------------------------------


def test_a_training_that_ended_is_handed_over_where_dvcs_cache_was_full(
    dvc_repository, monkeypatch
):
    repository = dvc_repository
    train = ("-s", f"train@{LINEAR}-0")
    with small_disk(repository / ".dvc" / "cache", 20_000):
        output = dvc(repository, "repro", *train, fails=True)
        assert "No space left on device" in output
    wanted = results(repository, LINEAR)
    assert not (repository / "dvc.lock").exists()

    # DVC removes the outputs before the stage begins.
    again = dvc(repository, "repro", *train)
    assert "finished before, and DVC does not hold it yet; it is handed over" in again
    assert "resumed after epoch 2" in again
    assert results(repository, LINEAR) == wanted

    # Now it holds them: the next stage that runs removes the checkpoint.
    checkpoints = repository / ".checkpoints"
    shutil.copytree(checkpoints, repository / "copy")
    stage(repository, "evaluate", "params.yaml", LINEAR, "0")
    assert not notes(repository)

    # Whoever wants the training itself again (`dvc repro -f`) gets that.
    shutil.rmtree(checkpoints)
    shutil.move(repository / "copy", checkpoints)
    assert notes(repository)
    monkeypatch.setenv("DVC_STAGE", "train")
    forced = stage(repository, "train", "params.yaml", LINEAR, "0")
    assert "resumed" not in forced.stdout + forced.stderr
    assert results(repository, LINEAR) == wanted


def test_a_training_whose_dvc_was_killed_ends_and_goes_on(dvc_repository):
    repository = dvc_repository
    write_yaml(repository / "runs" / f"{ROLE}.yaml", run_settings(ROLE, epochs=150))
    process = start_dvc(repository, "repro", "-s", f"train@{ROLE}-0")
    wait_for_checkpoint(repository, process)
    process.kill()
    process.wait()

    # Its pipe ends with the last process that has it open: the training.
    output = process.stdout.read()
    assert f"the dvc that ran this stage (process {process.pid}) is gone" in output
    assert f"names process {process.pid}, remove .dvc/tmp/rwlock" in output

    done = stage(repository, "train", "params.yaml", ROLE, "0")
    assert "resumed after epoch" in done.stdout + done.stderr
    history = (trained(repository, ROLE) / "history.csv").read_text().splitlines()
    assert len(history) == 151  # its header, and the epochs


# ---- Extractions -------------------------------------------------------------------------------


def test_an_extraction_that_ended_is_handed_over(repository, monkeypatch):
    """As above, without DVC: it has removed the output, and its cache does not have it."""
    monkeypatch.setenv("DVC_STAGE", "extract")
    [features] = (repository / "data" / "digits" / "features").iterdir()
    features.unlink()
    stage(repository, "extract", "params.yaml")
    wanted = features.read_bytes()

    features.unlink()
    again = stage(repository, "extract", "params.yaml")
    assert "resumed at picture 192 of 192" in again.stdout + again.stderr
    assert features.read_bytes() == wanted

    # A bit that flipped meanwhile.
    features.unlink()
    [kept] = (repository / ".checkpoints").glob("*/features.safetensors")
    damaged = bytearray(wanted)
    damaged[-100] ^= 1
    kept.write_bytes(damaged)
    anew = stage(repository, "extract", "params.yaml")
    assert "features.safetensors: damaged or cut off, by its checksum" in anew.stdout + anew.stderr
    assert features.read_bytes() == wanted


# ---- Searches ----------------------------------------------------------------------------------


def test_a_search_that_ended_is_handed_over(repository, monkeypatch):
    settings = yaml.safe_load((repository / "params.yaml").read_text())
    settings["search"] = {
        "losses": [{"name": "bce"}],
        "learning_rates": [1e-2],
        "batch_sizes": [16],
        "epochs": 2,
        "seeds": [0],
    }
    settings["runs"] = [ROLE]  # not the one that is searched
    write_yaml(repository / "params.yaml", settings)
    monkeypatch.setenv("DVC_STAGE", "search")
    outputs = repository / "outputs" / "demo" / "digits"

    def search() -> tuple[str, dict[str, bytes]]:
        """What it printed, and what it left of what DVC removes before it."""
        for folder in ("search", "search-environments"):
            shutil.rmtree(outputs / folder, ignore_errors=True)
        done = stage(repository, "search", "params.yaml")
        files = [path for path in outputs.rglob("search*/**/*") if path.is_file()]
        contents = {path.relative_to(outputs).as_posix(): path.read_bytes() for path in files}
        return done.stdout + done.stderr, contents

    _, wanted = search()
    printed, found = search()
    assert "handed over" in printed and "linear layers" not in printed
    assert found == wanted

    [kept] = (repository / ".checkpoints").glob("search-*/search/grid.csv")
    kept.unlink()  # the same bytes by another name
    kept.write_text("damaged")
    printed, found = search()
    assert "damaged, by its checksums; all is made anew" in printed
    assert found["search/grid.csv"] == wanted["search/grid.csv"]

    # Without its record it would be handed over in part.
    for record in (repository / "results" / "digits").glob("*.json"):
        record.unlink()
    printed, _ = search()
    assert "linear layers" in printed
    assert len(list((repository / "results" / "digits").glob("*.json"))) == 1


# ---- Evaluations -------------------------------------------------------------------------------


def test_an_evaluation_that_fails_leaves_the_good_record(dvc_repository):
    repository = dvc_repository
    stage(repository, "train", "params.yaml", LINEAR, "0")
    stage(repository, "evaluate", "params.yaml", LINEAR, "0")
    record = repository / "results" / "digits" / f"{LINEAR}-s0.json"
    good = record.read_bytes()

    # Also where it is DVC that begins, and removes the record.
    weights = trained(repository, LINEAR) / "best.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[:1000])
    dvc(repository, "repro", "-s", f"evaluate@{LINEAR}-0", fails=True)
    assert record.read_bytes() == good

    # Without the copy, as in a clone, git has it.
    git = ("git", "-c", "user.name=t", "-c", "user.email=t@t")
    for words in (("init", "-q"), ("add", "results"), ("commit", "-qm", "records")):
        subprocess.run([*git, *words], cwd=repository, check=True)
    record.unlink()
    (trained(repository, LINEAR).parent / "record.json").unlink()
    failed = stage(repository, "evaluate", "params.yaml", LINEAR, "0", check=False)
    assert failed.returncode == 1
    assert record.read_bytes() == good

    # And it is written anew as soon as it can be.
    weights.write_bytes(whole)
    record.write_text("{}")
    stage(repository, "evaluate", "params.yaml", LINEAR, "0")
    assert record.read_bytes() == good


def test_logits_on_a_full_disk(repository):
    out = repository / "outputs" / "demo" / "digits" / f"{LINEAR}-s0"
    record = repository / "results" / "digits" / f"{LINEAR}-s0.json"
    with small_disk(out, 500_000):
        stage(repository, "train", "params.yaml", LINEAR, "0")
        stage(repository, "evaluate", "params.yaml", LINEAR, "0")
        good = record.read_bytes()
        logits = (out / "logits.safetensors").read_bytes()

        filler = out / "filler"
        with filler.open("wb", buffering=0) as file, suppress(OSError):
            while True:
                file.write(bytes(4096))
        failed = stage(repository, "evaluate", "params.yaml", LINEAR, "0", check=False)
        assert failed.returncode == 1
        assert "Traceback" not in failed.stderr
        assert "logits.safetensors: No space left on device: 0.0 MiB are free" in failed.stderr
        assert record.read_bytes() == good
        assert (out / "logits.safetensors").read_bytes() == logits

        filler.unlink()
        stage(repository, "evaluate", "params.yaml", LINEAR, "0")
        assert record.read_bytes() == good
