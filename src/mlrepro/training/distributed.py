"""Data-parallel training: `torchrun --nproc-per-node 2 stages/train.py SETTINGS RUN SEED`, on one or several machines.

`batch_size` is that of all: each computes a share's logits, and all the whole batch's loss and its state, as one process does
to float32 rounding. Only dropout's draws differ, and on CPUs, where torch cannot synchronise it, batch norm learns from a share.
"""

import os
import secrets
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import torch
import torch.distributed as dist

from mlrepro.errors import InputError

RANK, WORLD = (
    (int(os.environ[key]) for key in ("RANK", "WORLD_SIZE"))
    if dist.is_torchelastic_launched()
    else (0, 1)
)


@contextmanager
def joined() -> Iterator[None]:
    """Around a stage: joins torchrun's processes, a GPU each (NCCL) or on CPUs (gloo). Rank 0 alone prints and tracks."""
    if WORLD == 1:
        yield
        return
    gpus, local = torch.cuda.device_count(), int(os.environ["LOCAL_RANK"])
    if local >= gpus > 0:
        raise InputError(
            f"torchrun: more processes than this machine's GPUs; lower --nproc-per-node to {gpus}"
        )
    torch.cuda.set_device(local if gpus else -1)  # -1: none
    store = fresh(next(dist.rendezvous("env://"))[0], RANK, WORLD)
    dist.init_process_group(
        "cpu:gloo,cuda:nccl" if gpus else "gloo", store=store, rank=RANK, world_size=WORLD
    )
    if RANK:
        os.environ["MLREPRO_TRACKING"], sys.stdout = "none", open(os.devnull, "w")
    yield
    dist.destroy_process_group()  # not after an error: it could wait for processes that are gone


def fresh(store: dist.Store, rank: int, world: int) -> dist.Store:
    """The part of torchrun's store that is this start's alone. The store outlives restarts, with the addresses of processes that
    are gone, and nothing numbers the starts: the agents of several machines count theirs apart.

    Rank 0 draws a name and puts it under `start`. Each other puts a number that it drew below the name that it finds there, which
    may be an earlier start's, until rank 0 has added that number to `start`: all at once, when they are there, and unless a later
    rank 0 has put its name meanwhile. So one process of each rank goes on, and each has lived since the name was drawn. Who is
    left out fails after the store's timeout, and torchrun starts all again.
    """
    own, store = secrets.token_hex(8), dist.PrefixStore(f"of {world}", store)
    end = time.monotonic() + store.timeout.total_seconds()
    if rank == 0:
        store.set("start", own)
    while time.monotonic() < end:
        name, *numbers = store.get("start").decode().split()
        if own in numbers:
            return dist.PrefixStore(name, store)
        if rank:
            store.set(f"{name}/{rank}", own)
        elif store.check(others := [f"{own}/{other}" for other in range(1, world)]):
            store.compare_set("start", own, b" ".join([own.encode()] * 2 + store.multi_get(others)))
        time.sleep(0.02)
    raise TimeoutError(
        f"torchrun: rank {rank} of {world} waited in vain for the others to start; see what they print"
    )


def from_main(make: Callable):
    """In every process what make() gives in rank 0, where alone it is called."""
    box = [None if RANK else make()]
    if WORLD > 1:
        dist.broadcast_object_list(box)
    return box[0]


def share(batches: list[np.ndarray]) -> list[np.ndarray]:
    """This process's part of each batch. InputError for one that cannot be divided equally."""
    if odd := [len(batch) for batch in batches if len(batch) % WORLD]:
        raise InputError(
            f"batch_size: {odd[0]} pictures for {WORLD} processes; set a multiple, at most the training pictures"
        )
    return [batch[RANK::WORLD] for batch in batches]


def gather(own: torch.Tensor) -> torch.Tensor:
    """(B / WORLD, ...) of each process to (B, ...), rank by rank. The gradient is that of a loss which all compute alike."""
    if WORLD == 1:
        return own
    parts = [torch.empty_like(own, memory_format=torch.contiguous_format) for _ in range(WORLD)]
    dist.all_gather(parts, own.detach().contiguous())
    if own.requires_grad:
        own.register_hook(
            lambda gradient: gradient * WORLD
        )  # for DistributedDataParallel takes the mean
        parts[RANK] = own
    return torch.cat(parts)


def data_parallel(model: torch.nn.Module) -> Callable[[torch.Tensor], torch.Tensor]:
    """What calls `model` in training. On GPUs batch norms become synchronised ones, in place, unless they are constants."""
    if WORLD == 1:
        return model.__call__
    if torch.cuda.is_available() and not getattr(model, "constant", None):
        from timm.layers import convert_sync_batchnorm  # here, for heads on features need no timm

        convert_sync_batchnorm(model)
    return torch.nn.parallel.DistributedDataParallel(model).__call__
