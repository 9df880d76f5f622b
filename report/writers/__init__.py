"""Files of a report: HTML, LaTeX and CSV."""
