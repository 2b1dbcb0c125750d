"""The room of money: metered energy becomes ledger entries, and DR events are reported."""
