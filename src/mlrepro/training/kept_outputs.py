"""Outputs of a stage that has no states to resume from, kept until DVC holds them."""

import shutil
from pathlib import Path

from tqdm import tqdm

from mlrepro import dvc
from mlrepro.files import link_or_copy
from mlrepro.training.checkpoint import Checkpoint, finished_objects


class KeptOutputs:
    """Folders that a stage has written, kept in a checkpoint's folder, where DVC runs the stage.

    name, parts: of the checkpoint; the stage holds the name exclusively.
    """

    def __init__(self, name: str, parts: dict, outputs: list[Path]):
        self.name = name
        self.outputs = outputs
        self.checkpoint = Checkpoint(name, parts)

    def keep(self) -> None:
        """To be called once all is written. The folders take no room twice where links are."""
        if dvc.runs_this():
            for output in self.outputs:
                copy = self._copy_of(output)
                shutil.rmtree(copy, ignore_errors=True)
                shutil.copytree(output, copy, copy_function=link_or_copy)
        self.checkpoint.finish(self.outputs, self.name)

    def put_back(self) -> bool:
        """Puts back what an earlier start has finished and DVC does not hold; False where none has.

        Also where it is not as it was written, which is announced.
        """
        written = finished_objects(self.checkpoint.folder)
        if not written:
            return False

        kept = [self._copy_of(output) for output in self.outputs]
        if [dvc.object_name(copy) for copy in kept] != written:
            tqdm.write(f"{self.checkpoint.folder}: damaged, by its checksums; all is made anew")
            return False

        for output, copy in zip(self.outputs, kept, strict=True):
            shutil.rmtree(output, ignore_errors=True)
            shutil.copytree(copy, output, copy_function=link_or_copy)
        self.checkpoint.finish(self.outputs, self.name)
        return True

    def _copy_of(self, output: Path) -> Path:
        return self.checkpoint.folder / output.name
