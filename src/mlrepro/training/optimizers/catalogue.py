"""What a run's `optimizer` may name, and where it is defined."""

# Function of (parameter groups, settings), which returns torch's optimiser.
OPTIMIZERS = {
    "adam": "mlrepro.training.optimizers.adam:create_adam",
    "adamw": "mlrepro.training.optimizers.adam:create_adamw",
    "sgd": "mlrepro.training.optimizers.sgd:create",
}

# Function of (optimiser, settings, epochs, steps an epoch), which returns torch's schedule. A
# constant learning rate has none.
SCHEDULES = {
    "linear": "mlrepro.training.optimizers.linear:create",
    "cosine": "mlrepro.training.optimizers.cosine:create",
    "one_cycle": "mlrepro.training.optimizers.one_cycle:create",
}

# Stepped after each step of the optimiser; the others after each epoch.
STEPWISE_SCHEDULES = frozenset({"one_cycle"})

# What computes the gradient of a step where `sam_rho` is set.
SHARPNESS_AWARE = "mlrepro.training.optimizers.sharpness_aware:sharpness_aware"
