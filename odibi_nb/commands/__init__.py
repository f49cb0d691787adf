"""What can be asked of odibi_nb, once, for the magic and the shell alike."""

from odibi_nb.commands.face import Face
from odibi_nb.commands.parser import CommandHelp, CommandLineError, execute, parse

__all__ = ["CommandHelp", "CommandLineError", "Face", "execute", "parse"]
