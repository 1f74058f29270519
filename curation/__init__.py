"""The tool: everything between classroom video and a training set, and its command line."""
