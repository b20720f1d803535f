"""Mail and page templates, and their gettext catalogues: data, no code."""
