"""What the inputs import: a training of a head on features pays for nothing that reads pictures."""

import functools
import subprocess
import sys

import forks
import pytest

OF_PICTURES = {
    "PIL",
    "numba",
    "simplejpeg",
    "timm",
    "torchvision",
    "mlrepro.data.augment",
    "mlrepro.data.images",
    "mlrepro.data.kernels",
    "mlrepro.data.shards",
}
# Each takes a large part of a second.
SLOW = {"pandas", "pyarrow", "scipy", "sklearn", "torch._dynamo"}


@functools.cache
def imported_by(module: str) -> set[str]:
    """Beside torch, which a fork has from the start."""
    return set(forks.run("-c", f"import sys, {module}; print(*sys.modules)").split())


@pytest.mark.parametrize(
    ("module", "avoided"),
    [
        ("mlrepro.data.samplers", OF_PICTURES | SLOW),
        ("mlrepro.training.inputs.features", OF_PICTURES | SLOW),
        # Pictures need no more of it than their size and their recipe do.
        ("mlrepro.training.inputs.pictures", {"numba", "simplejpeg", "timm", "torchvision"}),
        ("mlrepro.data.augment", {"numba", "torchvision"}),
    ],
)
def test_modules_import_what_they_use(module, avoided):
    modules = imported_by(module)
    assert module in modules
    assert not modules & avoided


@pytest.mark.parametrize("module", ["mlrepro.data.samplers", "mlrepro.data.augment"])
def test_modules_that_need_no_torch(module):
    command = [sys.executable, "-c", f"import sys, {module}; print('torch' in sys.modules)"]
    assert subprocess.check_output(command, text=True) == "False\n"


def test_a_recipe_is_imported_where_a_run_names_it():
    modules = imported_by("mlrepro.training.inputs.pictures")
    assert not [name for name in modules if name.startswith("mlrepro.data.augment.recipes")]
