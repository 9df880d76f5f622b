"""Tables: specifications, cells, captions and the claims of the paper."""
