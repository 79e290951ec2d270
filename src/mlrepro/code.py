"""Which code a run depends on, and digests of it.

What acts otherwise runs again, and nothing else does. A digest is of a module's syntax tree without
docstrings, so that a comment trains nothing. The code of a run is what its loss, its head, its task
and the training loop import, found by reading their import statements; a loss or a head that
another run uses is no part of it.
"""

import ast
import hashlib
import importlib.util
import json
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

from mlrepro.errors import InputError
from mlrepro.files import write_json
from mlrepro.layout import Layout
from mlrepro.losses.catalogue import LOSSES
from mlrepro.metrics.catalogue import metric_functions
from mlrepro.models.catalogue import backbone_module
from mlrepro.models.heads.catalogue import HEADS
from mlrepro.settings.run import Optimizer, Run, load_run
from mlrepro.training.optimizers.catalogue import OPTIMIZERS, SCHEDULES, SHARPNESS_AWARE
from mlrepro.training.tasks.catalogue import TASKS

PACKAGE = "mlrepro"
DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)

# The training loop and everything that every run goes through.
TRAINING_ROOT = "mlrepro.training.train"
EVALUATION_ROOT = "mlrepro.evaluation.record"
EXTRACTION_ROOT = "mlrepro.training.extract_composed"
SEARCH_ROOTS = (
    "mlrepro.training.grid.closed_form",
    "mlrepro.training.grid.cross_validation",
    "mlrepro.training.grid.outcome",
    "mlrepro.training.grid.search",
    "mlrepro.training.grid.write",
)
ZERO_SHOT_ROOTS = ("mlrepro.training.zero_shot", "mlrepro.evaluation.zero_shot")
RECIPES = "mlrepro.data.augment.recipes"

# These name, check, fetch, store or show; no weight and no score depends on them. What settings do
# is in the run's resolved settings, and what a catalogue does is in the entries that the run asks
# for.
WITHOUT_EFFECT = (
    "mlrepro.addresses",
    "mlrepro.code",
    "mlrepro.data.disk",
    "mlrepro.data.fetching",
    "mlrepro.dvc",
    "mlrepro.data.manifest_check",
    "mlrepro.environments",
    "mlrepro.errors",
    "mlrepro.extras",
    "mlrepro.files",
    "mlrepro.json_text",
    "mlrepro.judging",
    "mlrepro.layout",
    "mlrepro.memory",
    "mlrepro.progress",
    "mlrepro.provenance",
    "mlrepro.records",
    "mlrepro.settings",
    "mlrepro.stage",
    "mlrepro.studies",
    "mlrepro.system_errors",
    "mlrepro.terminal",
    "mlrepro.tracking",
    "mlrepro.training.memory",
)


def code_digest(path: Path) -> str:
    """sha256 of a module's syntax tree without docstrings: comments and layout do not count.

    Another Python may give another.
    """
    tree = ast.parse(path.read_text(encoding="utf-8"), path)
    for node in ast.walk(tree):
        if isinstance(node, DOCUMENTED) and ast.get_docstring(node, clean=False) is not None:
            del node.body[0]
    return hashlib.sha256(ast.dump(tree).encode()).hexdigest()


def training_code(run: Run) -> dict[str, str]:
    """Digests of all code that the weights of `run` depend on, by module, and of its settings.

    The settings are resolved: a default that changes counts, though no run file says it. What is
    off does not count, so that a new setting, which is off by default, makes no run stale.
    """
    roots = [TRAINING_ROOT, *_modules_by_name(run)]
    if run.linear_init:
        roots += _modules_by_name(run.linear_stage())

    digests = module_digests(roots)
    digests["settings"] = _resolved_settings(run)
    return digests


def _modules_by_name(run: Run) -> list[str]:
    """The modules that a run's settings choose, and that are imported by these names."""
    modules = [
        TASKS[run.inputs].partition(":")[0],
        HEADS[run.head].module,
        LOSSES[run.loss.name].module,
    ]
    if run.inputs == "images":
        modules.append(backbone_module(run.backbone))
    if run.augment != "none":
        modules.append(f"{RECIPES}.{run.augment}")
    if run.optimizer:
        modules += _optimizer_modules(run.optimizer)
    return [module for module in modules if module]


def _optimizer_modules(optimizer: Optimizer) -> list[str]:
    references = [OPTIMIZERS[optimizer.name], SCHEDULES.get(optimizer.schedule)]
    if optimizer.sam_rho:
        references.append(SHARPNESS_AWARE)
    return [reference.partition(":")[0] for reference in references if reference]


def evaluation_code() -> dict[str, str]:
    """Digests of the code that scores any run. Beside it scores depend on the training's code."""
    metrics = {function.partition(":")[0] for function in metric_functions().values()}
    return module_digests([EVALUATION_ROOT, *metrics])


def extraction_code(backbones: Iterable[str]) -> dict[str, str]:
    """Digests of the code that features of these frozen backbones depend on."""
    own = [backbone_module(backbone) for backbone in backbones]
    return module_digests([EXTRACTION_ROOT, *filter(None, own)])


def search_code(runs: Iterable[Run]) -> dict[str, str]:
    """Digests of the code that a grid search of `runs` depends on."""
    digests = module_digests(SEARCH_ROOTS)
    for run in runs:
        digests |= training_code(run)
    del digests["settings"]
    return digests


def zero_shot_code(runs: Iterable[Run]) -> dict[str, str]:
    """Digests of the code that scores from the labels' names depend on."""
    modules = [module for run in runs for module in _modules_by_name(run)]
    return module_digests([*ZERO_SHOT_ROOTS, *modules]) | evaluation_code()


def write_codes(layout: Layout) -> list[str]:
    """Writes a file of digests a run into the pipeline's folder of codes.

    And one for each stage that works for all runs. A stage's script is part of what it runs.
    Returns the files' names.
    """
    features = layout.pipeline.features
    backbones = [features.backbone] if features else []
    backbones += [further.backbone for further in layout.pipeline.backbones]
    codes = {
        "evaluate": evaluation_code() | _script("evaluate"),
        "extract": extraction_code(backbones) | _script("extract"),
    }
    for run_id in layout.pipeline.runs:
        try:
            codes[run_id] = training_code(load_run(layout.run_file(run_id))) | _script("train")
        except InputError as error:
            # Its own train stage ends with this message; the other runs are not kept from theirs.
            codes[run_id] = {"error": str(error)}
    if layout.pipeline.search:
        runs = [run for run, _ in layout.pipeline.grid()]
        codes["search"] = search_code(runs) | _script("search")
    if layout.zero_shot:
        runs = layout.pipeline.zero_shot_runs().values()
        codes["zero_shot"] = zero_shot_code(runs) | _script("zero_shot")

    layout.code.mkdir(parents=True, exist_ok=True)
    for name, digests in codes.items():
        write_json(layout.code / f"{name}.json", digests)
    return sorted(codes)


def _script(stage: str) -> dict[str, str]:
    path = Path("stages") / f"{stage}.py"
    return {path.as_posix(): code_digest(path)}


def module_digests(roots: Iterable[str]) -> dict[str, str]:
    """Digest of each module that `roots` import, directly or not, and of themselves; sorted."""
    return {module: _digest_of(module) for module in sorted(import_closure(roots))}


def import_closure(roots: Iterable[str]) -> set[str]:
    """Modules of this package that `roots` import, wherever their import statements stand."""
    closure: set[str] = set()
    waiting = list(roots)
    while waiting:
        module = waiting.pop()
        if module in closure or _without_effect(module):
            continue
        closure.add(module)
        waiting += imports_of(module)
    return closure


def _without_effect(module: str) -> bool:
    if module == PACKAGE or module.rpartition(".")[2] == "catalogue":
        return True
    return any(module == name or module.startswith(f"{name}.") for name in WITHOUT_EFFECT)


@cache
def imports_of(module: str) -> frozenset[str]:
    """The modules of this package that a module imports, and the packages that it stands in."""
    # Of a.b.c: a and a.b, whose __init__ run first.
    packages = module.split(".")[:-1]
    names = {".".join(packages[: end + 1]) for end in range(len(packages))}

    tree = ast.parse(_path(module).read_text(encoding="utf-8"))
    names |= {text for text in _strings(tree) if _is_ours(text)}
    for statement in _import_statements(tree):
        if isinstance(statement, ast.Import):
            imported = [alias.name for alias in statement.names]
        else:
            # `from a import b`: b may be a module of the package a, or a name in the module a.
            inside = [f"{statement.module}.{alias.name}" for alias in statement.names]
            imported = [statement.module, *inside]
        names.update(name for name in imported if _is_ours(name))
    return frozenset(names)


def _import_statements(tree: ast.AST) -> Iterator[ast.Import | ast.ImportFrom]:
    """All that run; what stands under `if TYPE_CHECKING:` does not."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield node
        elif isinstance(node, ast.If) and getattr(node.test, "id", None) == "TYPE_CHECKING":
            continue
        else:
            yield from _import_statements(node)


def _strings(tree: ast.AST) -> Iterator[str]:
    """A module's name that stands in a string is imported by it (importlib)."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


def _is_ours(name: str) -> bool:
    return name.partition(".")[0] == PACKAGE and _path(name) is not None


@cache
def _path(module: str) -> Path | None:
    """The file of a module of this package; none where the name is no module."""
    root = Path(importlib.util.find_spec(PACKAGE).origin).parents[1]
    stem = root.joinpath(*module.split("."))
    for path in (stem / "__init__.py", stem.with_suffix(".py")):
        if path.is_file():
            return path
    return None


@cache
def _digest_of(module: str) -> str:
    return code_digest(_path(module))


def _resolved_settings(run: Run) -> str:
    values = run.model_dump(mode="json")
    switched_on = {
        key: value for key, value in values.items() if value not in (None, False, [], {})
    }
    text = json.dumps(switched_on, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()
