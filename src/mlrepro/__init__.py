"""mlrepro: reproduces multi-label image classification papers. Start reading at layout.py and training/run.py."""

import os
import sys

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
if not (sys.stderr and sys.stderr.isatty()):
    os.environ.setdefault("TQDM_MININTERVAL", "10")  # a log file wants a line now and then, not a moving bar
