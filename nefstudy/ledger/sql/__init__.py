"""The ledger's database layer: addresses, connections, tables, filters and pages."""
