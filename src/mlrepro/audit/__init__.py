"""Scores from anywhere against labels: what they are worth under every published protocol.

    tables          scores and labels as they were read
    class_names, picture_ids
                    which class and which picture of one is which of the other
    join            both beside each other
    scales          what kind of numbers scores are
    class_order     whether the columns are the classes that they are said to be
    protocols       the catalogue of choices
    evaluate        the table of results
    printed         a printed number beside them
    compare         two sets of scores on the same pictures
    record          the record of scores from outside

numpy alone; who reads files and prints is `mlrepro_cli.audit`.
"""
