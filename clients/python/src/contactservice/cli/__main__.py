"""`python -m contactservice.cli`: the command `contacts`, where it is not on the PATH."""

from contactservice.cli import main

main()
