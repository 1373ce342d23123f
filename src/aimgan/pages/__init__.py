"""Pages for people: reports, comparisons and contact sheets."""
