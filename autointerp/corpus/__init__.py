"""From text to contexts: read, drop near-duplicates, split by document and source, tokenise, cut windows."""
