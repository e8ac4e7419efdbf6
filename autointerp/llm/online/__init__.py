"""One request at a time to an endpoint: retries, and as many in flight as it bears."""
