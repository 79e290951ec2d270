"""How fast a network is: what is timed, and what is not."""

import pytest
import torch

from mlrepro.models.complexity import speed

# Seconds of the warm-up, in which memory is laid out, and of the three passes that count.
PASSES = [5.0, 0.5, 0.25, 1.0]


class Clocked(torch.nn.Module):
    """A network whose passes take the given seconds of a clock that stands still otherwise."""

    def __init__(self):
        super().__init__()
        self.now = 0.0
        self.batches = []

    def forward(self, pictures):
        self.now += PASSES[len(self.batches)]
        self.batches.append(tuple(pictures.shape))
        return pictures.mean((1, 2, 3))


@pytest.mark.parametrize("threads, clock", [(1, "thread_time"), (2, "perf_counter")])
def test_the_best_pass_after_a_warm_up_counts(monkeypatch, threads, clock):
    network = Clocked()
    monkeypatch.setattr(speed, "build", lambda *_: network)
    monkeypatch.setattr(speed.torch, "get_num_threads", lambda: threads)
    monkeypatch.setattr(speed.time, clock, lambda: network.now)
    measured = speed.forward_speed.__wrapped__(
        "linear", "any", 3, 16, (), device=torch.device("cpu")
    )
    assert measured == speed.BATCH / 0.25
    assert network.batches == len(PASSES) * [(speed.BATCH, 3, 16, 16)]


@pytest.mark.parametrize("head", ["linear", "csra"])
def test_a_real_network_has_a_speed(head):
    assert speed.forward_speed(head, "test_resnet", 3, 32, (), torch.device("cpu")) > 0
