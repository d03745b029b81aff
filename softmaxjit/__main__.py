"""Entry point of the ``softmaxjit`` command and of ``python -m softmaxjit``."""

import sys
from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line on the given arguments, or on the process's; return its exit status."""
    try:
        from . import cli  # noqa: PLC0415  its packages come with an extra
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in ("click", "rich"):
            raise
        print("softmaxjit: the command line needs more packages: pip install 'softmaxjit[cli]'", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("softmaxjit: stopped", file=sys.stderr)
        return 130
    return cli.run(arguments)


if __name__ == "__main__":
    sys.exit(main())
