"""`mlrepro launch`: a study's trainings and evaluations as jobs on this machine, a Ray cluster or Slurm.

A package of its own beside mlrepro, which knows nothing of it: no stage depends on this code, so no edit of it trains anything
again.
"""
