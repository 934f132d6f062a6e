"""`python -m leanseek`."""

from leanseek.cli import main

main()
