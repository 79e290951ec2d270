"""How many classes each data set of the studies has, for what is computed without its files."""

CLASS_COUNTS = {
    "voc2007": 20,
    "voc2012": 20,
    "coco2014": 80,
    "coco2017": 80,
    "nuswide": 81,
    "vg500": 500,
    "openimages_v6": 601,
    "cub": 312,
    "mirflickr25k": 14,
    "mirflickr20k": 14,
    # Ids 1 to 19, of which 12 is not used.
    "comp5329": 18,
    "comp5329_1000": 18,
}
