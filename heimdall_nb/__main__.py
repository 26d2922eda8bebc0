"""`python -m heimdall_nb` is the command `heimdall`."""

from heimdall_nb.cli import main

if __name__ == "__main__":
    main()
