"""`python -m search.cli`: the command line without its script."""

from search.cli.main import main

main()
