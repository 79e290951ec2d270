"""How the VOC challenges call files of labels and of results."""

import re

SETS = "trainval|train|val|test"

# cat_test.txt, of labels.
LIST = re.compile(rf"(?P<folder>(.*/)?)(?P<label>[^/]+)_(?P<set>{SETS})\.txt$")
# test.txt, of pictures.
PICTURES = re.compile(rf"(.*/)?(?P<set>{SETS})\.txt$")
ANNOTATION = re.compile(r"(?P<folder>(.*/)?)(?P<picture>[^/]+)\.xml$")
# comp4_det_test_cat.txt, of results.
RESULT = re.compile(r"comp\d+_(det|cls)_(?P<set>[A-Za-z0-9]+)_(?P<label>.+)\.txt$")
