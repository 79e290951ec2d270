import sys; sys.path[:0] = ["/tmp/w/m/tests", "/tmp/w/m/tests/training"]
from conftest import *; from pathlib import Path
from test_modes import linear_init, LINEAR_INIT
write_yaml(Path(f"runs/{LINEAR_INIT}.yaml"), linear_init(freeze="backbone", ema=0.9, protocol="released", epochs=2))
write_yaml(Path(f"runs/{PICTURES}.yaml"), run_settings(PICTURES, augment="flip", ema=0.9, select_on_test=True))
write_yaml(Path(f"runs/{LINEAR}.yaml"), run_settings(LINEAR, batch_size=15))
