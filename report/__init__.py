"""Floor 5: from collected metrics and runs to one page, tables to paste into a paper, and figures."""
