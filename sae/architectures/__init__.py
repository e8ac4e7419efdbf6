"""One file per architecture, in training and in use, behind one small interface."""
