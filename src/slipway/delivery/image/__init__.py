"""The container image of a release: the Bento, its build, and the test of the image itself."""
