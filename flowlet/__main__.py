"""``python -m flowlet`` is the command ``flowlet``."""

from flowlet.cli import main

if __name__ == "__main__":
    main(prog_name="flowlet")
