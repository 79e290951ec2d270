"""Data-parallel training, on one or several machines.

    torchrun --nproc-per-node 2 stages/train.py SETTINGS RUN SEED

`batch_size` is that of all processes: each computes the logits of a share, and all compute the
whole batch's loss and its state, as one process does to float32 rounding. Only dropout's draws
differ, and on CPUs, where torch cannot synchronise it, batch norm learns from a share.
"""

import os
import secrets
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import numpy as np
import torch
import torch.distributed as dist

from mlrepro.errors import InputError

Value = TypeVar("Value")

# This process's number, and how many there are.
RANK = 0
WORLD = 1
if dist.is_torchelastic_launched():
    RANK = int(os.environ["RANK"])
    WORLD = int(os.environ["WORLD_SIZE"])

POLL_SECONDS = 0.02  # between two looks at the store


# ---- Processes that find each other ------------------------------------------------------------


@contextmanager
def joined() -> Iterator[None]:
    """Around a stage: joins torchrun's processes, a GPU each (NCCL) or on CPUs (gloo).

    Rank 0 alone prints and tracks. Raises InputError for more processes than GPUs.
    """
    if WORLD == 1:
        yield
        return

    gpus = torch.cuda.device_count()
    local_rank = int(os.environ["LOCAL_RANK"])
    if local_rank >= gpus > 0:
        raise InputError(
            f"torchrun: more processes than this machine's GPUs; lower --nproc-per-node to {gpus}"
        )
    torch.cuda.set_device(local_rank if gpus else -1)  # -1: none

    torchruns_store, _, _ = next(dist.rendezvous("env://"))
    dist.init_process_group(
        # Objects that are gathered stay on the CPU, where there are GPUs, too.
        "cpu:gloo,cuda:nccl" if gpus else "gloo",
        store=fresh(torchruns_store, RANK, WORLD),
        rank=RANK,
        world_size=WORLD,
    )

    if RANK:
        os.environ["MLREPRO_TRACKING"] = "none"
        sys.stdout = open(os.devnull, "w")
    yield

    # Not after an error: it could wait for processes that are gone.
    dist.destroy_process_group()


def fresh(store: dist.Store, rank: int, world: int) -> dist.Store:
    """The part of torchrun's store that is this start's alone.

    The store outlives restarts, with the addresses of processes that are gone, and nothing numbers
    the starts: the agents of several machines count theirs apart.

    Rank 0 draws a name and puts it under `start`. Each other puts a number that it drew below the
    name that it finds there, which may be an earlier start's, until rank 0 has added that number to
    `start`: all at once, when they are there, and unless a later rank 0 has put its name meanwhile.
    So one process of each rank goes on, and each has lived since the name was drawn. Who is left
    out fails after the store's timeout (TimeoutError), and torchrun starts all again.
    """
    drawn = secrets.token_hex(8)
    store = dist.PrefixStore(f"of {world}", store)
    end = time.monotonic() + store.timeout.total_seconds()
    if rank == 0:
        store.set("start", drawn)

    while time.monotonic() < end:
        name, *admitted = store.get("start").decode().split()
        if drawn in admitted:
            return dist.PrefixStore(name, store)

        if rank == 0:
            _admit_all(store, drawn, world)
        else:
            store.set(f"{name}/{rank}", drawn)
        time.sleep(POLL_SECONDS)

    raise TimeoutError(
        f"torchrun: rank {rank} of {world} waited in vain for the others to start; see what they "
        "print"
    )


def _admit_all(store: dist.Store, name: str, world: int) -> None:
    """Rank 0's part of `fresh`: puts all numbers behind its name, its own (the name) first."""
    keys = [f"{name}/{other}" for other in range(1, world)]
    if store.check(keys):
        start = b" ".join([name.encode(), name.encode(), *store.multi_get(keys)])
        store.compare_set("start", name, start)


# ---- What processes exchange -------------------------------------------------------------------


def from_main(make: Callable[[], Value]) -> Value:
    """In every process what make() gives in rank 0, where alone it is called."""
    box = [None if RANK else make()]
    if WORLD > 1:
        dist.broadcast_object_list(box)
    return box[0]


def share(batches: list[np.ndarray]) -> list[np.ndarray]:
    """This process's part of each batch. InputError for one that cannot be divided equally."""
    for batch in batches:
        if len(batch) % WORLD:
            raise InputError(
                f"batch_size: {len(batch)} pictures for {WORLD} processes; set a multiple, at most "
                "the training pictures"
            )
    return [batch[RANK::WORLD] for batch in batches]


def gather(own: torch.Tensor) -> torch.Tensor:
    """(B / WORLD, ...) of each process to (B, ...), rank by rank.

    The gradient is that of a loss which all compute alike.
    """
    if WORLD == 1:
        return own

    # What is gathered bears no gradient: this process's own part is put back with its own.
    parts = [torch.empty_like(own, memory_format=torch.contiguous_format) for _ in range(WORLD)]
    dist.all_gather(parts, own.detach().contiguous())
    if own.requires_grad:
        # DistributedDataParallel takes the mean of the processes' gradients.
        own.register_hook(lambda gradient: gradient * WORLD)
        parts[RANK] = own
    return torch.cat(parts)


def gather_arrays(own: list[np.ndarray]) -> list[np.ndarray]:
    """The arrays of every process, rank by rank; one may have none."""
    if WORLD == 1:
        return own

    parts: list[list[np.ndarray]] = [[] for _ in range(WORLD)]
    dist.all_gather_object(parts, own)
    return [array for part in parts for array in part]


def share_buffers(model: torch.nn.Module, device: torch.device) -> None:
    """Gives all processes rank 0's buffers: batch norm's, which is not synchronised on CPUs."""
    if WORLD > 1 and device.type == "cpu":
        for buffer in model.buffers():
            dist.broadcast(buffer, 0)


def data_parallel(model: torch.nn.Module) -> Callable[[torch.Tensor], torch.Tensor]:
    """What calls `model` in training.

    On GPUs batch norms become synchronised ones, in place, unless they are constants.
    """
    if WORLD == 1:
        return model.__call__

    if torch.cuda.is_available() and not getattr(model, "constant", None):
        from timm.layers import convert_sync_batchnorm  # here: heads on features need no timm

        convert_sync_batchnorm(model)
    return torch.nn.parallel.DistributedDataParallel(model).__call__
