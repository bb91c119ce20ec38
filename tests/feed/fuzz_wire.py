"""Atheris on the decoder: any bytes, and a real frame bent here and there, judged like upb.

`python tests/feed/fuzz_wire.py -max_total_time=60`; `make soak` runs it. A crash file is written where the two differ.
"""
import sys
from pathlib import Path

import atheris

sys.path.insert(0, str(Path(__file__).parents[2]))
with atheris.instrument_imports(include=["tests.reference.upb"]):
    from tests.feed.test_wire import assert_same, sample_response

SAMPLE = sample_response().SerializeToString(deterministic=True)


def bent(data: bytes) -> bytes:
    """SAMPLE with edits read from `data`: overwrite, insert, delete or repeat a few bytes somewhere."""
    take = atheris.FuzzedDataProvider(data)
    frame = bytearray(SAMPLE)
    for _ in range(take.ConsumeIntInRange(1, 5)):
        at = take.ConsumeIntInRange(0, len(frame))
        match take.ConsumeIntInRange(0, 3):
            case 0:
                frame[at:at + 1] = take.ConsumeBytes(1)
            case 1:
                frame[at:at] = take.ConsumeBytes(take.ConsumeIntInRange(1, 12))
            case 2:
                del frame[at:at + take.ConsumeIntInRange(1, 8)]
            case _:
                begin = take.ConsumeIntInRange(0, len(frame))
                frame[at:at] = frame[begin:begin + take.ConsumeIntInRange(1, 40)]
    return bytes(frame)


def judge(data: bytes) -> None:
    assert_same(data)
    assert_same(bent(data))


if __name__ == "__main__":
    atheris.Setup(sys.argv, judge)
    atheris.Fuzz()
