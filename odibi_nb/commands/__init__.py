"""The commands of odibi_nb, shared by the magic and the shell."""

from odibi_nb.commands.face import Face
from odibi_nb.commands.parser import CommandHelp, CommandLineError, execute, parse

__all__ = ["CommandHelp", "CommandLineError", "Face", "execute", "parse"]
