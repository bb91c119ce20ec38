"""Atheris on the decoder: any bytes, judged like upb. `python tests/feed/fuzz_wire.py -max_total_time=60` (make soak runs it)."""
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

import atheris

from tests.feed.test_wire import assert_same, sample_response


def main() -> None:
    corpus = Path(__file__).parents[1] / "corpus" / "wire"
    corpus.mkdir(parents=True, exist_ok=True)
    (corpus / "sample").write_bytes(sample_response().SerializeToString(deterministic=True))
    atheris.Setup([*sys.argv, str(corpus)], assert_same)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
