"""`aimgan reproduce`: methods x seeds as cells, run side by side, and the paper's tables and figures made of them."""
