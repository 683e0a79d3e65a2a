"""Pictures for a file's front cover: what there is to choose from, and how it is cut, shrunk and made a JPEG."""
