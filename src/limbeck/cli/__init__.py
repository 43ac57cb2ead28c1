"""The command line: arguments in, one function of the library, words out."""
