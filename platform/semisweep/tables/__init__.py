"""Tables and lists made of results, as Markdown, CSV, LaTeX and HTML."""
