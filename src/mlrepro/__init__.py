"""mlrepro: reproduces multi-label image classification papers.

Start reading at layout.py and training/train.py.
"""

import os
import sys

# What libraries read when they are loaded; what the user has set stays.
ENVIRONMENT = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    # torch: large pages for CPU tensors, or a batch of pictures is page faults.
    "THP_MEM_ALLOC_ENABLE": "1",
    # Pillow: keeps a few pictures' memory for the next ones, for the same reason.
    "PILLOW_BLOCKS_MAX": "8",
    # torch's threads, under GNU's and under Intel's and LLVM's OpenMP: those that wait give their
    # core away. Spinning beside two busy programs, a training took 5 times its CPU seconds.
    "OMP_WAIT_POLICY": "passive",
    "KMP_BLOCKTIME": "0",
    # numpy: metrics divide their work themselves, and must not round as the number of cores has it.
    "OPENBLAS_NUM_THREADS": "1",
}
for name, value in ENVIRONMENT.items():
    os.environ.setdefault(name, value)

if not (sys.stderr and sys.stderr.isatty()):
    # Of libraries' bars, too, a log wants a line now and then (mlrepro.progress).
    os.environ.setdefault("TQDM_MININTERVAL", "10")


# A stage imports for seconds before `mlrepro.stage.main` can answer to Ctrl-C: this is for those.
_tell_of_errors = sys.excepthook


def _tell_of_ctrl_c(kind, error, trace) -> None:
    if issubclass(kind, KeyboardInterrupt):
        print("interrupted; run the same command again to go on", file=sys.stderr)
    else:
        _tell_of_errors(kind, error, trace)


if os.path.basename(os.path.dirname(os.path.abspath((sys.argv or [""])[0]))) == "stages":
    sys.excepthook = _tell_of_ctrl_c
