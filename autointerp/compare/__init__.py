"""Compare: arms against each other and against chance, with the unit as the sample."""
