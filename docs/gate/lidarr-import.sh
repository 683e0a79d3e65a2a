#!/bin/sh
# Lidarr: Settings, Media Management, "Import Using Script". Lidarr runs this for each file before it imports it.
# Exit codes for Lidarr: 3, import it as usual; any other than 0, 2 and 3, do not import it.
set -u
: "${REPRISE:=reprise}"

source=${lidarr_sourcepath:-${Lidarr_SourcePath:-}} # .NET writes the names of variables in small letters
if [ -z "$source" ]; then
    echo "Lidarr has not said which file it imports (lidarr_sourcepath)" >&2
    exit 1
fi

"$REPRISE" gate ask -- "$source"
case $? in
    6) exit 1 ;; # the library has it, or your policy rejects it; the reason is in Lidarr's log
    *) exit 3 ;; # new, or left to a person, or nobody can say: nothing is lost if it is imported
esac
