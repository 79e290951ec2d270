"""What a source document prints, says and claims, joined with our records of its runs.

description  study.yaml: tables, rules for runs, sweeps, deviations, findings
reported     reported.csv: the printed numbers
study        the two together
stages       which DVC stages give a run
results      the printed rows with our records, statuses and costs
estimates    how long a run would take
checks       what cannot be right in the printed numbers, or in our own files of them

Nothing here imports torch or the report.
"""
