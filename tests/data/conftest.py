"""The data suite: what must be true of the project's rows. Add your own tests beside these."""
