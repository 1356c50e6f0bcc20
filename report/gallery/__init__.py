"""``gallery.html``: every shape of a data set on one page, to look at in a browser."""
