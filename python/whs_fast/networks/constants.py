"""The constants of an IR file pair by their names, read without OpenVINO, which takes longer to load than a scan."""

from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
from numpy.typing import NDArray

_TYPES = {"i8": np.int8, "f32": np.float32}


def read_constants(path_xml: Path) -> dict[str, NDArray[Any]]:
    """All int8 and float32 constants as read-only arrays.

    Raises OSError where a file of the pair cannot be read, ValueError where they are no such pair.
    """
    content = path_xml.with_suffix(".bin").read_bytes()
    try:
        nodes = ElementTree.parse(path_xml).iter("layer")
    except ElementTree.ParseError as error:
        raise ValueError(f"no XML ({error})") from error
    constants = {}
    for node in nodes:
        data = node.find("data")
        if node.get("type") != "Const" or data is None or data.get("element_type") not in _TYPES:
            continue
        dtype = np.dtype(_TYPES[data.attrib["element_type"]])
        shape = [int(side) for side in data.attrib["shape"].split(",") if side]
        count, offset = int(data.attrib["size"]) // dtype.itemsize, int(data.attrib["offset"])
        constants[node.attrib["name"]] = np.frombuffer(content, dtype, count, offset).reshape(shape)
    return constants
