"""What a model costs: parameters, and operations of one picture by kind.

Measured on the built model, on torch's meta device: no data, no weights. Numbers are
multiply-accumulates (MACs), as in the papers, also where they write GFLOPs.

operations: the counts by kind
networks:   the model that is counted
cost:       parameters and GMACs of a run, and its speed on this machine
tools:      the counts of ptflops and fvcore, which the AAM paper prints
study:      all of it for the runs of a study
"""

from mlrepro.models.complexity.cost import forward_speed, measure_cost
from mlrepro.models.complexity.networks import build, parameters_of
from mlrepro.models.complexity.operations import PRODUCTS, Operations, count

__all__ = [
    "PRODUCTS",
    "Operations",
    "build",
    "count",
    "forward_speed",
    "measure_cost",
    "parameters_of",
]
