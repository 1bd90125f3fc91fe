"""Plots of benchmark calls as SVG: the same on a page and in a file that must work by itself.

No script, no style attribute and nothing from elsewhere; colours come from classes of
`byom/static/byom/style.css`. Each plot has a table beside it that says the same in figures.
"""
