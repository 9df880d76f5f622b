"""Plots, training curves and the gallery of a report.

Matplotlib reads a backend and a style from the shell and from the user's home when it is first
imported. The figures of a report depend on neither: they need no display, and two users get the
same files. `plot_style.report_style` resets what a `matplotlibrc` in the working folder changes.
"""

import os

os.environ["MPLBACKEND"] = "agg"
os.environ["MATPLOTLIBRC"] = os.devnull
