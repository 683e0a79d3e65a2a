"""Back-ups of collections: what a server, a drive or a service has and the library does not, copied, checked and
entered in the store."""
