"""`mlrepro launch`: a study's trainings and evaluations as jobs, here, on a Ray cluster or Slurm.

To read in this order: `head.py`, what a launch does; `pipeline.py`, what DVC knows of the stages;
`schedule.py`, which job may start when; `engines/`, where jobs run; `job.sh`, one attempt at one
job.
"""
