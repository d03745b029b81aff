"""What the subcommands of the command line do."""


class CommandError(Exception):
    """Ends a command with one line for the user.

    Parameters
    ----------
    message : str
        The line, without the name of the program.
    status : int, default 1
        Exit status: 2 where the arguments are at fault, 1 otherwise.
    """

    def __init__(self, message: str, status: int = 1) -> None:
        super().__init__(message)
        self.status = status
