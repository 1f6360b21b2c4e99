"""The report of studies, for people: what to ship and why, as one file. Pure, from results to text.

`page.compose` makes a `Page` of results; `html` and `markdown` write it down.
"""
