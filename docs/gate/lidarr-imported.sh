#!/bin/sh
# Lidarr: Settings, Connect, "Custom Script", on release import and on upgrade. Tells the gate what was imported, and where it is.
set -uf
: "${REPRISE:=reprise}"

event=${lidarr_eventtype:-${Lidarr_EventType:-}}
tracks=${lidarr_addedtrackpaths:-${Lidarr_AddedTrackPaths:-}} # with | between them
if [ "$event" != AlbumDownload ] || [ -z "$tracks" ]; then
    exit 0 # a test, or an event about something else
fi

IFS='|'
# shellcheck disable=SC2086  # it is to be split at each |, and at nothing else: -f keeps the shell from looking for files
exec "$REPRISE" gate imported -- $tracks
