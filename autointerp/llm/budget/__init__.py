"""Never above the limit: what requests may cost, what is reserved, and what was spent."""
