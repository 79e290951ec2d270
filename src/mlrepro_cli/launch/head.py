"""The head of a launch: what is stale becomes jobs, and what they made becomes a report."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from dvc.exceptions import DvcException
from dvc.scm import SCMError

from mlrepro.addresses import without_secrets
from mlrepro.errors import InputError
from mlrepro.layout import Layout, read_layouts
from mlrepro.records import Failure, write_failure
from mlrepro.settings.base import read_yaml
from mlrepro.studies.runs import read_run
from mlrepro.training.checkpoint import exclusive
from mlrepro_cli.launch import engines
from mlrepro_cli.launch.checkout import committed, dvc
from mlrepro_cli.launch.claim import claimed
from mlrepro_cli.launch.engines.attempts import Outcome
from mlrepro_cli.launch.engines.interface import EngineContext
from mlrepro_cli.launch.engines.source import Source
from mlrepro_cli.launch.pipeline import Job, default_remote, stale_jobs, upstream
from mlrepro_cli.launch.schedule import log_file, run_jobs

# What stages print, a folder a study.
LOGS = Path("outputs/launch")


@dataclass(frozen=True)
class Request:
    """What the user asks for.

    settings:   params.yaml of one pipeline, or of a study whose pipelines lie in the folders below.
    engine:     local, ray or slurm.
    jobs:       at a time. gpus: a job. None: as the engine sees fit.
    attempts:   at each job, where the worker was lost or the remote away; a stage's own error is
                final.
    repository: that jobs clone; none: origin, or this folder.
    take_over:  from another head, which is gone.
    options:    KEY=VALUE for the engine.
    """

    settings: Path
    engine: str
    jobs: int | None = None
    gpus: int | None = None
    attempts: int = 3
    repository: str | None = None
    take_over: bool = False
    options: Sequence[str] = ()


def launch(request: Request) -> int:
    """Runs every stale training and evaluation as a job, then renders the study's page.

    Returns 1 if a job failed. Raises InputError before any job is started where the checkout, the
    remote or the engine is not fit for it.
    """
    layouts = [
        layout for layout in read_layouts(request.settings) if Path(layout.dvc_file).is_file()
    ]
    if not layouts:
        raise InputError(f"{request.settings}: there is no dvc.yaml beside it")
    for_clusters = request.options or request.repository or request.take_over
    if request.engine == "local" and for_clusters:
        raise InputError(
            "--set, --repository and --take-over are for --engine ray and slurm; local works in "
            "this checkout"
        )

    # One launch of a study at a time in this checkout.
    study = layouts[0].study
    log = LOGS / study
    log.mkdir(parents=True, exist_ok=True)
    try:
        with exclusive(f"launch-{study}"):
            if request.engine == "local":
                engine = engines.local(request.jobs, request.gpus)
                return Launch(layouts, log, request.attempts, remote=False).run(engine)
            return _launch_on_cluster(request, layouts, log)
    except SCMError as error:  # a zip file that was unpacked, say
        remedy = "clone it, or tell DVC that there is none: dvc config --local core.no_scm true"
        raise InputError(f"dvc: {error}; {remedy}") from None
    except DvcException as error:  # no repository, a dvc.yaml that is none, another dvc at work
        raise InputError(without_secrets(f"dvc: {error}")) from None


def _launch_on_cluster(request: Request, layouts: list[Layout], log: Path) -> int:
    repository, commit = committed(request.repository)
    gpus = 1 if request.gpus is None else request.gpus
    source = Source(repository, commit, default_remote(), gpus)

    # KEY=VALUE, where a value may have = in it.
    options = {}
    for option in request.options:
        key, _, value = option.partition("=")
        options[key] = value

    if request.engine == "ray":
        engine = engines.ray(source, request.jobs, options)
    else:
        engine = engines.slurm(source, request.jobs, options, log / "submitit")

    _, remote_address = source.remote
    where = f"jobs check out {commit[:12]} of {repository}; the DVC remote is {remote_address}"
    print(without_secrets(where), flush=True)
    with claimed(layouts[0].study, request.take_over):
        return Launch(layouts, log, request.attempts, remote=True).run(engine)


@dataclass(frozen=True)
class Launch:
    """One launch of a study's pipelines.

    log:    the folder for what each stage prints.
    remote: jobs run elsewhere, and come and go through the DVC remote.
    """

    layouts: list[Layout]
    log: Path
    attempts: int
    remote: bool

    @property
    def dvc_files(self) -> list[str]:
        return [layout.dvc_file for layout in self.layouts]

    def run(self, engine_context: EngineContext) -> int:
        """From what jobs share to the page. Returns 1 if a job failed."""
        # Entered before anything is run: is there such an engine?
        with engine_context as (engine, slots):
            self._make_what_jobs_share()
            jobs = [self._without_unread_pictures(job) for job in self._restore()]
            if self.remote:
                self._push_what_jobs_share(jobs)
            print(f"{len(jobs)} jobs", flush=True)
            ends = run_jobs(jobs, engine, slots, self.attempts, self.log)

        # What jobs left in the remote is fetched; what they could not do is written down.
        failed = {stage: outcome for stage, outcome in ends.items() if outcome.error}
        if self.remote:
            self._fetch_results(failed)
        self._write_failures(jobs, failed)
        self._render_pages(complete=not failed)

        if not failed:
            return 0
        print(
            f"{len(failed)} jobs failed; their rows say so, and the next launch tries them again:",
            *(f"  {stage}: {outcome.error}" for stage, outcome in failed.items()),
            sep="\n",
            file=sys.stderr,
        )
        return 1

    def _make_what_jobs_share(self) -> None:
        """Runs or restores it. Jobs that lack one of these stages fail with it."""
        shared = upstream(self.dvc_files)
        if not shared:
            return
        # -k: what does not need a stage that fails is made all the same.
        pull = ["--pull"] if self.remote else []
        dvc("repro", "-k", *pull, "-s", *shared, check=False)

    def _restore(self) -> list[Job]:
        """Restores what a run cache holds, and returns the jobs of the rest."""
        try:
            restored, stale = stale_jobs(self.dvc_files, self.remote)
        except (DvcException, OSError) as error:
            if not self.remote:
                raise
            raise InputError(
                "the DVC remote's run cache cannot be read "
                f"({without_secrets(str(error))}); see `dvc remote list`"
            ) from None
        if restored:
            print(f"{len(restored)} stages are restored from the run cache", flush=True)
            dvc("repro", "-q", "-s", *restored)
        return stale

    def _without_unread_pictures(self, job: Job) -> Job:
        """A job that reads no pictures needs none on its machine."""
        layout, run_id, seed = self._run_of(job.stage)
        if read_run(layout, run_id, seed).inputs == "images":
            return job
        return replace(job, pictures=())

    def _push_what_jobs_share(self, jobs: list[Job]) -> None:
        shared = set().union(*(job.shared for job in jobs))
        undone = set().union(*(job.undone for job in jobs))
        done = sorted(shared - undone)
        if done:
            dvc("push", "-q", "--run-cache", *done)

    def _fetch_results(self, failed: dict[str, Outcome]) -> None:
        """Restores what the jobs pushed. Raises InputError where that is not to be had."""
        lost = [job.stage for job in self._restore() if job.stage not in failed]
        if lost:
            raise InputError(
                f"{', '.join(lost)}: done, but not to be had from the DVC remote; see that it can "
                "be reached and launch again: what is in it is not trained again"
            )

    def _write_failures(self, jobs: list[Job], failed: dict[str, Outcome]) -> None:
        """Says in place of each record that lacks why it does."""
        for job in jobs:
            # Else its training says why there is no record.
            own = job.stage in failed and not failed.keys() & set(job.trained)
            if not own:
                continue
            outcome = failed[job.stage]
            failure = Failure(
                stage=job.stage,
                error=outcome.error,
                host=outcome.host,
                log=log_file(self.log, job.stage).as_posix(),
            )
            layout, run_id, seed = self._run_of(job.stage)
            write_failure(failure, layout.record(run_id, seed))

    def _render_pages(self, complete: bool) -> None:
        """Runs all that is left of the pipelines, or the reports alone."""
        files = self.dvc_files
        # A pipeline without a page is on its study's.
        study = (self.layouts[0].folder / "dvc.yaml").as_posix()
        if study not in files and Path(study).is_file():
            files.append(study)

        if complete:
            dvc("repro", *files)
            return
        with_page = [file for file in files if "report" in read_yaml(Path(file))["stages"]]
        dvc("repro", "-s", *(f"{file}:report" for file in with_page))

    def _run_of(self, stage: str) -> tuple[Layout, str, int]:
        """Layout, run and seed of `<dvc.yaml>:train@<run>-<seed>`."""
        file, _, name = stage.rpartition(":")
        _, _, run_and_seed = name.partition("@")
        run_id, _, seed = run_and_seed.rpartition("-")

        # The root's stages have no file in their address.
        dvc_file = file or "dvc.yaml"
        [layout] = [layout for layout in self.layouts if layout.dvc_file == dvc_file]
        return layout, run_id, int(seed)
