"""Names and format of the journal's segments; the layout is in segment.pxd."""
import os

from libc.stdint cimport uint64_t
from _ext.core.records import LAYOUT

FORMAT = 2
MAGIC = b"SPIKEJ\x00" + bytes([FORMAT])
LAYOUT_BYTES = LAYOUT.encode()
COMPRESSED = ".zst"


def segment_name(uint64_t epoch, uint64_t index) -> str:
    return f"{epoch:06d}-{index:06d}.seg"


def segment_names(*folders) -> list:
    """Names of all segments of a journal in reading order; one in several folders, or compressed and plain, counts once."""
    names = set()
    for folder in folders:
        if os.path.isdir(folder):
            names.update(name.removesuffix(COMPRESSED) for name in os.listdir(folder)
                         if name.endswith((".seg", ".seg" + COMPRESSED)))
    return sorted(names)


def foreign(bytes head not None, name) -> str:
    """Why a segment with this head cannot be read, in words that say what to do; empty where it can."""
    if head[:7] != MAGIC[:7]:
        return f"{name} is not a journal segment"
    if head[7] != FORMAT:
        return (f"{name} has journal format {head[7]}, this engine reads {FORMAT}: read it with the version of the engine that "
                "wrote it, or begin a new run folder")
    if head[40:56] != LAYOUT_BYTES:
        return (f"{name} has records of another layout ({head[40:56].decode(errors='replace')}, this engine's is {LAYOUT}): "
                "read it with the version of the engine that wrote it, or begin a new run folder")
    return ""
