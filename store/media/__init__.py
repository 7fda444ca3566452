"""Files of users, on local disk or S3: one interface, two backends."""
