"""Where the files of a library belong by a template of their tags. Nothing here changes a file."""
