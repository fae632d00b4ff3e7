"""The broker: pure queues, leases, groups and inboxes. Read `core` first."""
