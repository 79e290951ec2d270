"""The grid search of the linear mode: many linear layers on features, trained together.

Each gets the numbers that `training.fit` alone gives it. Members of one seed and batch size see the
same batches, so that a step is one gather of feature rows and one matrix product forward and back
for all of them. All is float32, on the features' device.

data: what is searched and read. search: the members' training, in stacks. stack: the layers and
losses that step together. closed_form: ridge regressions, which take no step. outcome: what a
member reached. write: the files of a search.
"""
