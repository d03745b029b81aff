"""Data that the command line's demonstration reads, and the script that makes it."""
