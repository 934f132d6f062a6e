"""Run the notebooks of the tutorials, each in an empty folder, and store what they print in them.

    python scripts/run_tutorials.py                 # all of them
    python scripts/run_tutorials.py 1-a-folder      # one
    python scripts/run_tutorials.py --check         # leave the files as they are; fail where a cell does

`LEANSEEK_DATA` may name a folder with collections in BEIR's layout; without it SciFact (3 MB) is downloaded.
"""

from __future__ import annotations

import argparse
import re
import sys
import tempfile
import time
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

FOLDER = Path(__file__).parents[1] / "tutorials"
SECONDS = 600
"""A cell that takes longer is broken."""


def run(path: Path, check: bool) -> bool:
    """Whether all cells of a notebook ran; stores their outputs unless it is only to be checked."""
    book = nbformat.read(path, as_version=4)
    started = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="leanseek-tutorial-") as work:
        client = NotebookClient(
            book, timeout=SECONDS, resources={"metadata": {"path": work}}, coalesce_streams=True
        )
        try:
            client.execute()
        except CellExecutionError as error:
            sys.stderr.write(f"{path.name}: {error}\n")
            return False
        for cell in book.cells:
            # When a cell ran, and the folder in which, are of no use to a reader.
            cell.metadata.pop("execution", None)
            if cell.cell_type == "code":
                cell.outputs = [one for one in cell.outputs if not is_progress(one)]
    if not check:
        nbformat.write(book, path)
    sys.stdout.write(f"{path.stem}: {time.perf_counter() - started:.0f} s\n")
    return True


def is_progress(output: nbformat.NotebookNode) -> bool:
    """Whether an output is a progress bar or a warning about one."""
    return output.output_type == "stream" and output.name == "stderr" and not re.search(r"Error", output.text)


def main() -> None:
    """Run what is named."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", help="by default all")
    parser.add_argument("--check", action="store_true")
    given = parser.parse_args()
    paths = [FOLDER / f"{name}.ipynb" for name in given.names] or sorted(FOLDER.glob("*.ipynb"))
    failed = [path.name for path in paths if not run(path, given.check)]
    if failed:
        sys.exit(f"failed: {', '.join(failed)}")


if __name__ == "__main__":
    main()
