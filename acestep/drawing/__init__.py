"""Pictures of sound, and the style of every page that is written: reports, cards, the plots of `inspect`.

`tokens.css` has the colours and sizes; the page in the browser is served the same file.
"""
