"""Where a study is kept: the embedded PostgreSQL server, or one that a URL names."""
