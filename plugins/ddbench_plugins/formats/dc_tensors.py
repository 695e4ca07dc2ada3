"""The format of DC, DSA, DM, DataDAM and IDM: one `.pt` file of normalised images and labels."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from ddbench import hookimpl
from ddbench.api.distilled_set import PortableSet, apply_sidecar, write_sidecar
from ddbench.api.errors import DDBenchError
from ddbench.api.roles import SetFormat
from ddbench_plugins.formats._normalised import guess_space, normalise, read_name
from ddbench_plugins.formats._safe_load import check_tensor, load, to_single

SIDECAR = "ddbench"


class DCTensors(SetFormat):
    """DC, DSA, DM, DataDAM, IDM: one `.pt` file, `{'data': [[images, labels]], …}`.

    Images are normalised, unless all lie between black and white; labels are hard. A name such as
    `res_DM_CIFAR10_ConvNet_10ipc.pt` says method, data set and network.
    """

    layout = "a file NAME.pt with {'data': [[images, labels], …]}"

    experiment: int = 0
    """Which of the sets in the file: the released codes distil several and keep all."""

    def detect(self, path: Path) -> bool:
        return path.suffix in (".pt", ".pth") and not path.is_dir()

    def read(self, path: Path) -> PortableSet:
        content = load(path)
        pair = self._select(content, path)
        card, mean, std = read_name(path.stem)
        images = to_single(check_tensor(pair[0], path, "images"))
        read = PortableSet(
            images=images,
            labels=check_tensor(pair[1], path, "labels"),
            pixels=guess_space(images, path, "normalised"),
            mean=mean,
            std=std,
            card=card,
        )
        if isinstance(content.get(SIDECAR), str):
            return apply_sidecar(read, content[SIDECAR], f"{path} ({SIDECAR})")
        return read

    def write(self, distilled: PortableSet, path: Path) -> None:
        if distilled.soft_labels is not None or distilled.views is not None:
            raise DDBenchError(
                "files of DC's family hold hard labels only, and this set has others",
                hint="--format mtt holds learned labels, sre2l stored views (--no-views: without)",
            )
        images = normalise(distilled, "a file of DC's family")
        whole = {
            "data": [[images, distilled.labels]],
            "accs_all_exps": {},
            SIDECAR: write_sidecar(distilled, images),
        }
        torch.save(whole, path)

    def _select(self, content: Any, path: Path) -> Any:
        """Returns the images and labels of the experiment.

        Raises:
            DDBenchError: the file is of another kind, or lacks the experiment.
        """
        data = content.get("data") if isinstance(content, dict) else None
        pairs = isinstance(data, (list, tuple)) and all(
            isinstance(pair, (list, tuple)) and len(pair) == 2 for pair in data
        )
        if not data or not pairs:
            raise DDBenchError(
                f"{path} is no file of DC's family",
                "expected: {'data': [[images, labels], …]}",
                hint="`ddbench list formats` names the others",
            )
        if not 0 <= self.experiment < len(data):
            raise DDBenchError(
                f"{path} has no experiment {self.experiment}",
                f"it holds {len(data)}, numbered from 0",
                hint=f"--format 'dc[experiment={len(data) - 1}]'",
            )
        return data[self.experiment]


@hookimpl
def ddbench_formats() -> Mapping[str, SetFormat]:
    return {"dc": DCTensors()}
