"""What a recording is, and where it belongs: AcoustID and MusicBrainz."""
