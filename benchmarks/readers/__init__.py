"""How the simulator `reader` is trained: development units, and the fit."""
