"""Questions as requests of the server; here only looked for."""
