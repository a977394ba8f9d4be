"""The one kind of error that the user can fix."""


class InputError(ValueError):
    """Input that cannot be used: a table, a value, a setting.

    The message is read by a person: it names the file (or table), row, column and value
    where they apply, and says what to do. The command line shows it as one line without a
    traceback.
    """
