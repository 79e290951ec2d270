"""`mlrepro launch`: a study's trainings and evaluations on several GPUs of this machine, on a Ray cluster, or under Slurm."""
