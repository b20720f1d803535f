"""Mail and page templates, and their gettext catalogues: data, and the one file of code that reads the catalogues."""
