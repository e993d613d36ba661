"""Pages of runs, of comparisons and of tunings: one HTML file each, which needs no network."""
