"""The words of the product: pure values, no I/O, no clock. Everything else speaks in them."""
