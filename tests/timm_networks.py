"""timm's and torchvision's networks through ``convlayers summary``, in a process of its own: an installed torchvision
without its operators, as a build of torch from elsewhere leaves it, breaks what imports it unasked.

``python tests/timm_networks.py FOLDER`` prints a line of JSON a network.
"""

from __future__ import annotations

import json
import sys

NETWORKS = {
    "timm:resnet18": (3, 224, 224),
    "timm:convnext_tiny": (3, 224, 224),
    "timm:swin_tiny_patch4_window7_224": (3, 224, 224),
    "torchvision:mobilenet_v2": (3, 224, 224),
    "torchvision:shufflenet_v2_x1_0": (3, 224, 224),
    "torchvision:r2plus1d_18": (3, 16, 112, 112),
}


def make_importable(folder: str) -> None:
    """timm and torchvision from this folder, the operators that torchvision asks for as it is imported named."""
    import torch

    library = torch.library.Library("torchvision", "DEF")
    for name in ("nms", "qnms"):
        library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    _libraries.append(library)  # with it the operators would go
    sys.path.insert(0, folder)


_libraries: list[object] = []


def main(folder: str) -> None:
    import warnings

    import torch
    from torch.utils.flop_counter import FlopCounterMode

    make_importable(folder)
    from convlayers.inspect import find, summary

    warnings.simplefilter("ignore")
    for name, size in NETWORKS.items():
        model = find(name)
        found = summary(model, size)
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            model.to("meta")(torch.empty(1, *size, device="meta"))
        fields = {row.name: row.field.size for row in found.rows if row.field is not None and row.field.exact}
        values = {"name": name, "parameters": found.total.parameters, "flops": found.total.flops}
        print(json.dumps(values | {"counter": counter.get_total_flops(), "fields": fields}), flush=True)
    try:
        find("timm:resnet_18")
    except ValueError as error:
        print(json.dumps({"name": "error", "message": str(error)}))


if __name__ == "__main__":
    main(sys.argv[1])
