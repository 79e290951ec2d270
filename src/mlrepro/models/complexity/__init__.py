"""What a model costs: parameters, and operations of one picture by kind.

Measured on the built model, on torch's meta device: no data, no weights. Numbers are
multiply-accumulates (MACs), as in the papers, also where they write GFLOPs.

operations: the counts by kind
networks:   the model that is counted
cost:       parameters and GMACs of a run
parts:      the same of a run on features, from what the extraction counted
speed:      pictures a second on this machine
tools:      the counts of ptflops and fvcore, which the AAM paper prints
study:      all of it for the runs of a study

Nothing is imported here: the operations need parts of torch that take a while.
"""
