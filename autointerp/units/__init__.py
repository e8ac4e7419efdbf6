"""Units of a subject: their kinds, how they are read off a hook, sampled and named, and the arms they make up."""
