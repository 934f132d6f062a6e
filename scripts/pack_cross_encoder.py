"""Put a cross-encoder that `leanseek train cross-encoder` made into the package, as its difference to the encoder.

    python scripts/pack_cross_encoder.py FOLDER

The packaged one was made by two runs over COLLECTIONS = wikiqa:train wikiqa:dev squad2-dev:dev selqa:dev pubmedqa:train
scifact:train trecqa:train trecqa:dev cosqa:dev medquad:train

    leanseek train cross-encoder COLLECTIONS --most 2500 --negatives 5 --epochs 0.95 --out FIRST
    leanseek train cross-encoder COLLECTIONS --most 2500 --negatives 5 --epochs 0.32 --base FIRST --seed 1 --out FOLDER

of which the first still left out negatives whose cosine came within .95 of the positive's. Its training.json holds the
collections' checksums and how the losses went. What is packed is 3.6 MB: see leanseek.rerank.crossencoder.packed.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from pathlib import Path

from leanseek.rerank.crossencoder.packed import HOME, pack


def main() -> None:
    """Pack the folder given, and say how large it became."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    given = parser.parse_args()
    shutil.rmtree(HOME, ignore_errors=True)
    pack(given.folder, HOME)
    size = sum(path.stat().st_size for path in HOME.rglob("*") if path.is_file())
    sys.stdout.write(f"{HOME}: {size:,} bytes\n")


if __name__ == "__main__":
    main()
