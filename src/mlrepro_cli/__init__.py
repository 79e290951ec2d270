"""The command `mlrepro`: what people do around the pipeline, with their own pictures and on clusters.

A package of its own beside mlrepro, which knows nothing of it: no stage depends on this code, so no edit of it trains anything
again.
"""

SUFFIXES = (
    ".jpg",
    ".jpeg",
    ".png",
    ".bmp",
    ".gif",
    ".tif",
    ".tiff",
    ".webp",
    ".ppm",
    ".pgm",
)  # of pictures, in folders
