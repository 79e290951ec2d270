"""Where the compiled kernels are used instead of Pillow: the same pixels, in less time."""

from functools import cache
from types import ModuleType

# Smaller pictures do not repay the import of numba, which takes half a second.
SMALLEST_SIDE = 128


@cache
def fast_kernels(side: int) -> ModuleType | None:
    """The module `data.kernels` for pictures of this side; none where Pillow does the work.

    That is so for small pictures, and where the module cannot be had: numba or simplejpeg is not
    installed, no folder can keep what is compiled, or Pillow is another one.
    """
    if side < SMALLEST_SIDE:
        return None
    try:
        from mlrepro.data import kernels
    except (ImportError, RuntimeError):
        return None
    return kernels
