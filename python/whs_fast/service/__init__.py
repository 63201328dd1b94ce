"""A service over HTTP: takes scans, queues them, segments them with one engine, hands out the results."""
