"""`python -m earwitness` is the `earwitness` command."""

from earwitness.cli.main import main

if __name__ == "__main__":  # processes of `serve --processes` import it under another name
    main()
