"""Built-in plugin of lmtool."""
