"""The folders that a user's pictures lie in, as a tree."""

from dataclasses import dataclass, field


@dataclass
class FolderOfPictures:
    """A folder with pictures in it or below it.

    place: its path below the root, "" for the root itself. pictures: those right in it.
    """

    name: str
    place: str
    pictures: list[str] = field(default_factory=list)
    folders: dict[str, "FolderOfPictures"] = field(default_factory=dict)

    def all_pictures(self) -> list[str]:
        """Those in it and below it."""
        below = [picture for folder in self.folders.values() for picture in folder.all_pictures()]
        return self.pictures + below

    def has_labels_below(self) -> bool:
        """Whether most of its pictures lie in folders of their own."""
        below = len(self.all_pictures()) - len(self.pictures)
        return below > len(self.pictures)

    def has_several_below(self) -> bool:
        """Whether its pictures lie in several folders, and not in one within one."""
        node = self
        while len(node.folders) == 1 and not node.pictures:
            [node] = node.folders.values()
        return bool(node.folders)


def folder_tree(pictures: list[str]) -> FolderOfPictures:
    """The tree of all folders of the pictures' paths."""
    root = FolderOfPictures("", "")
    for picture in pictures:
        node = root
        *names, _ = picture.split("/")
        for depth, name in enumerate(names, start=1):
            if name not in node.folders:
                node.folders[name] = FolderOfPictures(name, "/".join(names[:depth]))
            node = node.folders[name]
        node.pictures.append(picture)
    return root
