"""`python -m earwitness` is the `earwitness` command."""

from earwitness.cli.main import main

main()
