"""``python -m tinyseq``: the command line, where the script ``tinyseq`` is not on the path."""

from tinyseq.cli import main

if __name__ == "__main__":
    main(prog_name="tinyseq")
