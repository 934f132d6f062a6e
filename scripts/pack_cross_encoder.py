"""Put a cross-encoder that `leanseek train cross-encoder` made into the package, as its difference to the encoder.

    python scripts/pack_cross_encoder.py FOLDER

The packaged one was made by

    leanseek train cross-encoder wikiqa:train wikiqa:dev squad2-dev:dev selqa:dev pubmedqa:train scifact:train \\
        trecqa:train trecqa:dev cosqa:dev medquad:train --most 2000 --negatives 5 --epochs 1.8 --out FOLDER

in 50 minutes on two cores. Its training.json holds the collections' checksums and how the losses went. What is packed
is 3.6 MB: see leanseek.rerank.crossencoder.packed.
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
