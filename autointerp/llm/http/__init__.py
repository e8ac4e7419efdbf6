"""HTTP to endpoints: connections, and what their refusals mean."""
