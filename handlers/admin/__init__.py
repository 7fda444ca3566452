"""The Admin API: for moderators and admins. Every operation names its role; every action stands in the audit log."""
