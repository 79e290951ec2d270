"""torch's optimisers without its compiler.

Their methods are wrapped so that torch.compile can step around them, and the first call of each
imports the whole compiler (torch._dynamo, sympy: 1.5 CPU seconds), although nothing here is
compiled. What they compute stands in the wrapped methods, which are called as they are.
"""

import inspect
from functools import cache

import torch

# Of torch.optim.Optimizer, wrapped by torch._disable_dynamo.
WRAPPED = ("add_param_group", "load_state_dict", "state_dict", "zero_grad")


@cache
def eager(optimizer: type[torch.optim.Optimizer]) -> type[torch.optim.Optimizer]:
    """A subclass of the same name that computes the same, bit by bit."""
    methods = {name: inspect.unwrap(getattr(optimizer, name)) for name in WRAPPED}
    plain_step = inspect.unwrap(optimizer.step)

    def step(self, closure=None):
        # What the wrapper does beside speaking to the compiler.
        with torch.no_grad():
            return plain_step(self, closure)

    return type(optimizer.__name__, (optimizer,), {**methods, "step": step})
