"""How users lay out their labels: a module a layout, under the name that `--layout` takes.

All have NAME, as users read it, such as "VOC's lists". What is read of a layout are `LabelRow`s.
Reading wrongly without a word is the worst that a layout can do: where something may mean two
things, and the user's answers (`file.answers`, `folder.answers`) do not say which, it raises
`Question`. What it raises else (ValueError, LookupError, TypeError, AttributeError, csv.Error) is
told to the user with the file's name.

FILE_LAYOUTS, of single files, have

    matches(file)          whether a LabelFile may be one of its own, by the name alone
    read(file)             its rows; none where the file turns out to be of another kind

or, where one file tells what another means,

    read_all(files, picture, alone, note)
                           the rows of all of its files, in which pictures are called by their
                           paths; picture(name, file): the path of the one that a LabelFile means;
                           alone: whether no other layout has labels; note: UserFolder's

JSON_LAYOUTS, of single JSON files, which are told by what is in them, have

    is_it(content)         whether it is of this kind
    read(file, content)    its rows

Those of LINE_LAYOUTS may be files of a JSON object a line, too, which they are given as a list.

SET_LAYOUTS, of files that belong together, have

    read(folder)           rows of a UserFolder, each with its `source`; none where it has no such

FOLDER_LAYOUTS, where folders or names of files are the labels, have the same. They are asked only
where no label file was found. `folder.note(line)` tells the user what was understood.
"""

from mlrepro_cli.init_data.layouts import (
    coco,
    create_ml,
    cvat,
    darwin,
    dataloop,
    datumaro,
    dota,
    fiftyone,
    file_names,
    folders,
    folders_deepest,
    ground_truth,
    json_files,
    json_names,
    kitti,
    label_studio,
    labelbox,
    labelme,
    picture_lists,
    polygon_files,
    prodigy,
    superannotate,
    supervisely,
    table,
    text_files,
    vertex,
    vertex_csv,
    via,
    via3,
    via_csv,
    voc,
    xmp,
    yolo,
)

# Tables come last: what is answered of columns may be of another file.
FILE_LAYOUTS = {
    "cvat": cvat,
    "via-csv": via_csv,
    "vertex-csv": vertex_csv,
    "table": table,
}
LINE_LAYOUTS = {
    "ground-truth": ground_truth,
    "labelbox": labelbox,
    "prodigy": prodigy,
    "vertex": vertex,
}
# The first that knows a file reads it: json_names, which knows little, comes last.
JSON_LAYOUTS = {
    **LINE_LAYOUTS,
    "coco": coco,
    "label-studio": label_studio,
    "fiftyone": fiftyone,
    "labelme": labelme,
    "supervisely": supervisely,
    "superannotate": superannotate,
    "dataloop": dataloop,
    "polygons": polygon_files,
    "darwin": darwin,
    "create-ml": create_ml,
    "datumaro": datumaro,
    "via": via,
    "via3": via3,
    "json": json_names,
}
SET_LAYOUTS = {
    "voc": voc,
    "yolo": yolo,
    "kitti": kitti,
    "dota": dota,
    "texts": text_files,
    "json-files": json_files,
    "xmp": xmp,
    "lists": picture_lists,
}
FOLDER_LAYOUTS = {
    "folders": folders,
    "folders-deepest": folders_deepest,
    "file-names": file_names,
}
LAYOUTS = FILE_LAYOUTS | JSON_LAYOUTS | SET_LAYOUTS | FOLDER_LAYOUTS
