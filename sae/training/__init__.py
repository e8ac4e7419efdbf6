"""From a recipe and a stream of vectors to an autoencoder: steps, schedules, checkpoints, several processes."""
