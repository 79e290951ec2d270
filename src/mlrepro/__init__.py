"""mlrepro: reproduces multi-label image classification papers.

Start reading at layout.py and training/train.py.
"""

import os
import sys

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault(
    "THP_MEM_ALLOC_ENABLE", "1"
)  # torch: large pages for CPU tensors, or a batch of pictures is page faults
os.environ.setdefault(
    "PILLOW_BLOCKS_MAX", "8"
)  # Pillow: keeps a few pictures' memory for the next ones, for the same reason
if not (sys.stderr and sys.stderr.isatty()):
    os.environ.setdefault(
        "TQDM_MININTERVAL", "10"
    )  # a log file wants a line now and then, not a moving bar
