"""The command line: a thin shell over the library. Importing it loads none of that."""
