"""Where jobs run: on this machine, on a Ray cluster, or under Slurm.

Each engine is a context that gives a function and how many threads may call it at a time. The
function makes one attempt at one job with job.sh, and blocks until that has ended.
"""

from mlrepro_cli.launch.engines.local_machine import local
from mlrepro_cli.launch.engines.ray_cluster import ray
from mlrepro_cli.launch.engines.slurm_cluster import slurm

__all__ = ["local", "ray", "slurm"]
