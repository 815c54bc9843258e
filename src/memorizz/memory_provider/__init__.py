"""Where memories are kept: the contract (`base`), the stores (`memory_type`), and one package per database.

Importing this loads no database driver.
"""
