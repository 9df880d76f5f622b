"""Report: an HTML page, LaTeX tables and figures of the collected results."""
