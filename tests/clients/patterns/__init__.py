"""Three ways to keep a database and a Ringbinder cache together, as small programs.

`cache_aside`, `write_through` and `write_behind` can each be imported, or run with
`python -m patterns.NAME --help` from the directory above. docs/patterns.md compares them.
"""
