"""Who trains: this process, or actors on Ray; values go in, events come out."""
