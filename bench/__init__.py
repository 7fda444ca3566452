"""Load generators and their reports. They run against the system that `./neighborbid up` has started."""
