"""Work on many recordings: a function spread over processes or machines, and recordings in object stores."""
