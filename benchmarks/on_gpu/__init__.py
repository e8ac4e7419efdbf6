"""What a GPU is for here, measured beside the same machine's processor: training, collecting, a whole run."""
