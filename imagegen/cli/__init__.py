"""The command line: one file = one command. Each parses, calls the library and prints.

torch and the other heavy packages are imported inside the functions that need them, so that
`--help` answers at once. Nothing is imported here, so that Ctrl-C is looked after from the start.
"""

from __future__ import annotations

import os


def main() -> None:
    """Run the command line as the process's whole work: it ends with an exit code (SystemExit).

    Ctrl-C ends it with 130 and no trace, also while the commands are still being imported.
    """
    try:
        import signal

        # In the middle of an import no exception would do: C code prints, drops or renames it.
        if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            signal.signal(signal.SIGINT, lambda *_: os._exit(130))
    except KeyboardInterrupt:
        os._exit(130)
    from imagegen.cli.app import run

    run()
