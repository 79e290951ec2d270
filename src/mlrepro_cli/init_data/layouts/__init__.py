"""How users lay out their labels: a module a layout.

A layout of label files is a module with

    NAME             as users read it, such as "VOC's lists"
    matches(file)    whether a LabelFile may be one of its own, by the name alone
    read(file)       its LabelRows; none where the file turns out to be of another kind

or, where one file tells what another means,

    read_all(files, picture)
                     the LabelRows of all of its files, in which pictures are called by their
                     paths; picture(name, file): the path of the one that a LabelFile means

and a line in FILE_LAYOUTS. Every file below the user's folder is offered to each of them. What
`read` raises (ValueError, LookupError, TypeError, csv.Error) is told to the user with the file's
name. Reading a file wrongly without a word is the worst that a layout can do: where a file may mean
two things, and the user's answers (`file.answers`) do not say which, it raises `Question`.

A layout without any file, where the folders themselves are the labels, is a module with

    NAME
    read(root, pictures, answers)

and a line in FOLDER_LAYOUTS. It is asked only where no label file was found.
"""

from mlrepro_cli.init_data.layouts import coco, folders, table, voc

FILE_LAYOUTS = [
    voc,
    table,
    coco,
]
FOLDER_LAYOUTS = [
    folders,
]
