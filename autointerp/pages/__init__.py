"""Pages: files that a browser opens from a folder, safe whatever text they show."""
