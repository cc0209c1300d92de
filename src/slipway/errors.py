"""The one exception that is meant for people: the command line prints it as a single line and exits with 2."""


class UserError(Exception):
    """Something the user can mend: the message says what is wrong, where, and what to do."""
