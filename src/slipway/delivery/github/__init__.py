"""What runs in GitHub Actions, and what it tells and asks of GitHub: thin, and at home where that is possible."""
