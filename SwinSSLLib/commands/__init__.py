"""The commands of the command line, one room each; nothing heavy is imported before a command runs."""
