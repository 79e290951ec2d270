"""In which precision a network computes."""

import torch


def in_bfloat16(precision: str, device: torch.device) -> bool:
    """Whether a run's `precision` means bfloat16 on this device: `auto` does on a GPU alone."""
    if precision == "auto":
        return device.type == "cuda"
    return precision == "bfloat16"


def autocast(device: torch.device, precision: str = "auto") -> torch.autocast:
    """A context in which networks compute in a run's `precision`."""
    return torch.autocast(device.type, torch.bfloat16, enabled=in_bfloat16(precision, device))
