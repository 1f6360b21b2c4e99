"""What the coordinator remembers: tables, migrations, and every SQL statement, a noun a file.

Functions of this package take a Connection that is inside a transaction (`Database.transact`) and
decide nothing that `edgemeter_coordinator.schedule` could decide.
"""
