"""What a run trains: SAEs on the subject's activations, and the subject itself where the study asks for it."""
