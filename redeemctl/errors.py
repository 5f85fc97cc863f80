"""Errors of a command: a message for the operator on stderr, and an exit code. `redeemctl --help` lists the codes."""

import click

from redeemctl.output import escape

CHANGED_MEANWHILE = (
    "somebody else has changed this in the meantime, and nothing was overwritten. Look at the present values, and run "
    "the command again"
)


class CommandError(click.ClickException):
    """A command cannot be completed. The message is for the operator; Click prints it on stderr."""

    def format_message(self) -> str:
        """Return the message as it is printed."""
        return escape(self.message)


class InvalidInputError(CommandError):
    """An argument, a file or a variable is invalid. The message names it."""

    exit_code = 2


class ConflictError(CommandError):
    """Somebody else has changed the same data since it was read. Nothing was overwritten."""

    exit_code = 4


class NotConfirmedError(CommandError):
    """The operator has not confirmed the changes. None was made."""

    exit_code = 5
