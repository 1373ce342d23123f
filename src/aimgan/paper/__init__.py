"""`aimgan reproduce`: the tables, figures and claims of the paper, from training to the page."""
