"""Numbers in: what a source holds, read row by row, made into digits, and who is on the list already."""
