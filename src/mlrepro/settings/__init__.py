"""What a user may write: params.yaml and run files, as typed settings. Nothing here imports torch.

base:      strict models, and how a YAML file becomes one
seed:      what a seed may be
yaml_size: what of a YAML file is refused before it is built
run_id:    the one string that a run bears everywhere, made and read
data:      data sets, observed labels, features, captions
losses:    what a run file may say of its loss
run:       one experiment
pipeline:  a params.yaml: data sets, runs, seeds, the search
"""
