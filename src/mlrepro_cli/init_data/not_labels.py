"""Names of folders that are no labels: of pictures, of what lies beside them, of outputs."""

# Folders that hold a data set's pictures, whatever their labels.
PICTURES = frozenset(
    "images image imgs img pictures picture photos photo pics jpegimages jpeg jpegs jpg jpgs png "
    "pngs input inputs rgb".split()
)
# Folders of what belongs to pictures: masks, boxes drawn, depth.
BESIDE_PICTURES = frozenset(
    "mask masks label labels labeltxt annotation annotations annots annot anns ann "
    "segmentationclass segmentationobject segmentation segmentations gt groundtruth depth "
    "thumbnail thumbnails thumbs heatmaps overlays".split()
)
# Folders that other programs write.
OUTPUTS = frozenset(
    "run runs output outputs result results prediction predictions preds weights log logs "
    "checkpoint checkpoints wandb mlruns tensorboard lightninglogs visualizations vis plots "
    "figures debug cache".split()
)
# Folders of pictures that nobody has looked at yet, or that were sorted out.
UNSORTED = frozenset(
    "unlabeled unlabelled unsorted unclassified unannotated untagged nolabel todo inbox trash "
    "deleted rejected discarded duplicates corrupt corrupted".split()
)
NOT_LABELS = PICTURES | BESIDE_PICTURES | OUTPUTS | UNSORTED


def bare(name: str) -> str:
    """In small letters, without what may stand between words."""
    return "".join(letter for letter in name.lower() if letter.isalnum())


def is_beside_pictures(picture: str) -> bool:
    """Whether a path has a folder of masks and the like in it."""
    return any(bare(folder) in BESIDE_PICTURES for folder in picture.split("/")[:-1])
