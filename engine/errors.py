"""What the engine says to its user when something cannot be done: the one base, with the exit code of the command line."""


class EngineError(Exception):
    """Its text is one line that says what to do next, without a library's words and without a secret."""
    exit_code = 1


class UsageError(EngineError):
    """The command, the configuration or a file it was given is not what it should be."""
    exit_code = 2


class DataError(UsageError, ValueError):
    """Foreign data cannot be read for what it should be; says file, row, column, and what is wanted."""
