"""The classes of ``socketserver`` in memory, others adopted, and tests of them by hand."""
