"""Every message that crosses the bus. Contracts are the only coupling between services."""
