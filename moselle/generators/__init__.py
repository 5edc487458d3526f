"""What `python -m moselle.generate` writes, one module for each kind of file.

Each generator returns {path from the repository's root: text} and writes nothing itself.
"""
