"""The outbox: a file for rows that the ledger's database cannot take yet, so that they outlive the process."""
