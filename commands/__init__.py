"""The command line: what `xser COMMAND` does before and after it calls the package."""
