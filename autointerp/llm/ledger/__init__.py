"""Never paid twice: answers are written down before they are used, and read back instead of asked again."""
