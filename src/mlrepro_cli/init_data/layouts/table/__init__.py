"""A table: a row a picture, or a row a picture and label, below a header.

From a file to rows of labels, a module a step:

    text, delimited, records, workbook
                                a file as a Sheet of text cells
    title_rows, header_rows     where its header is
    last_rows, options          rows and cells that say something else than others do
    pictures, columns, label_columns, joined_ids
                                which column says what
    choosing                    which files are tables of labels, and why others are none
    fields, lists, separators   what cells that name labels mean
    marks                       what cells below a label mean
    class_names                 what labels are called, where that is a table of its own
    listing, combining          what a table says of each picture, and several tables together
    read                        all of it, in this order
"""

from mlrepro_cli.init_data.layouts.table.read import NAME, matches, read_all

__all__ = ["NAME", "matches", "read_all"]
