"""`mlrepro launch`: a study's trainings and evaluations as jobs on this machine, a Ray cluster or Slurm."""
