"""How fast a network is: what is timed, and what is not."""

from types import SimpleNamespace

import pytest
import torch

from mlrepro.models.complexity import speed

# Seconds of the warm-up, in which memory is laid out, and of the three passes that count.
PASSES = [5.0, 0.5, 0.25, 1.0]


class Clocked(torch.nn.Module):
    """A network whose passes take the given seconds of a clock that stands still otherwise."""

    def __init__(self, clock, channels: int):
        super().__init__()
        self.clock = clock
        self.channels = channels
        self.batches = []

    def forward(self, pictures):
        self.clock.now += PASSES[len(self.batches)]
        self.batches.append(tuple(pictures.shape))
        return torch.zeros(len(pictures), self.channels, 2, 2)


@pytest.fixture
def built(monkeypatch) -> SimpleNamespace:
    """`networks` that were timed, by name, and `shapes` of maps that heads read, in no time."""
    clock = SimpleNamespace(now=0.0)
    networks: dict[str, Clocked] = {}
    shapes = []

    def build_backbone(name, resolution):
        networks[name] = Clocked(clock, channels=len(networks) + 1)
        return networks[name]

    def build_head_on_maps(name, shape, num_classes, options):
        shapes.append(shape)
        return torch.nn.Identity()

    speed.forward_speed.cache_clear()
    speed.network_seconds.cache_clear()
    monkeypatch.setattr(speed, "build_backbone", build_backbone)
    monkeypatch.setattr(speed, "build_head_on_maps", build_head_on_maps)
    for name in ("thread_time", "perf_counter"):
        monkeypatch.setattr(speed.time, name, lambda: clock.now)
    yield SimpleNamespace(networks=networks, shapes=shapes)
    speed.forward_speed.cache_clear()
    speed.network_seconds.cache_clear()


def forward_speed(backbone: str) -> float:
    return speed.forward_speed("linear", backbone, 3, 16, (), torch.device("cpu"))


def test_the_best_pass_after_a_warm_up_counts(built):
    assert forward_speed("any") == speed.BATCH / 0.25
    assert built.networks["any"].batches == len(PASSES) * [(speed.BATCH, 3, 16, 16)]


@pytest.mark.parametrize("threads, clock", [(1, "thread_time"), (2, "perf_counter")])
def test_one_thread_is_timed_by_its_own_clock(built, monkeypatch, threads, clock):
    def other_clock() -> float:
        raise AssertionError("another clock than that one")

    monkeypatch.setattr(speed.torch, "get_num_threads", lambda: threads)
    other = {"thread_time", "perf_counter"} - {clock}
    monkeypatch.setattr(speed.time, other.pop(), other_clock)
    assert forward_speed("any") == speed.BATCH / 0.25


def test_each_network_is_timed_once(built):
    """Whatever names it has a part in."""
    single = forward_speed("tf_efficientnet_lite0")
    assert forward_speed("lites") == round(single / 3, 1)
    assert forward_speed("lites_mirrored") == round(single / 6, 1)
    assert forward_speed("lites_root") == round(single / 3, 1)

    assert built.networks.keys() == {f"tf_efficientnet_lite{k}" for k in range(3)}
    # Of 1, 2 and 3 channels, side by side; roots are taken of pooled maps.
    assert built.shapes == [(1, 2, 2), (6, 2, 2), (6, 2, 2), (6, 1, 1)]


@pytest.mark.parametrize("head", ["linear", "csra"])
def test_a_real_network_has_a_speed(head):
    assert speed.forward_speed(head, "test_resnet", 3, 32, (), torch.device("cpu")) > 0
