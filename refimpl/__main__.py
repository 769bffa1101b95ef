"""`python -m refimpl` is the command `refimpl`."""

from refimpl.commands.main import main

if __name__ == "__main__":
    main()
