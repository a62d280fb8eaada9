"""The command line: one thin file a command, imported when that command is called."""
