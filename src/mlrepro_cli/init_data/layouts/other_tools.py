"""JSON of tools that is known by its keys and not read: what to export in its place."""

# Keys that all are there, of the object or of the first in a list -> what it is, and what to do.
AS_COCO = "export the labels as COCO"
KNOWN: tuple[tuple[frozenset[str], str], ...] = (
    (frozenset({"label_classes", "images", "export_format_version"}), f"Hasty's export; {AS_COCO}"),
    (
        frozenset({"task_id", "params", "response"}),
        'tasks of Scale; write {"1.jpg": ["cat", "dog"], ...} of each task\'s annotations',
    ),
    (
        frozenset({"originalImageUri", "tags"}),
        'pictures of Azure Custom Vision; write {"1.jpg": ["cat", "dog"], ...} of their tagName',
    ),
    (
        frozenset({"Labeled Data", "Label"}),
        "Labelbox's export of before 2023; export it again, as .ndjson",
    ),
    (
        frozenset({"photoTakenTime", "title"}),
        "Google's notes on a photo, which hold no labels; name albums by a folder each, or give a "
        "table",
    ),
)


def remedy(content: dict | list) -> str:
    """What the file is, and what to do; "" for one that is not known."""
    first = content[0] if isinstance(content, list) and content else content
    if not isinstance(first, dict):
        return ""
    return next((text for keys, text in KNOWN if keys <= set(first)), "")
