"""The SAEs that the field has published, by the names of SAELens' registry."""
