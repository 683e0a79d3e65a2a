#!/bin/sh
# Sorts what was fetched into a folder:  sort-new.sh FETCHED MUSIC KEPT
#   new files go to MUSIC, duplicates to KEPT/duplicates, what a person should look at to KEPT/ask.
# For yt-dlp, rsync, wget and whatever else fills a folder and then ends. A name goes through no command line but that of
# `find`, `mv` and `reprise`, as one word; what is in MUSIC or KEPT already is not overwritten.
set -eu
: "${REPRISE:=reprise}"
export REPRISE

fetched=$(cd -- "$1" && pwd) music=$(cd -- "$2" && pwd)
mkdir -p -- "$3/duplicates" "$3/ask"
kept=$(cd -- "$3" && pwd)
export music kept

find "$fetched" -type f \( -iname '*.mp3' -o -iname '*.flac' -o -iname '*.m4a' -o -iname '*.opus' -o -iname '*.ogg' \
    -o -iname '*.webm' -o -iname '*.wav' \) -exec sh -c '
    for file; do
        code=0
        "$REPRISE" gate ask -q -- "$file" || code=$?
        case $code in
            0) to=$music ;;
            6) to=$kept/duplicates ;;
            7 | 8 | 3) to=$kept/ask ;;
            *) continue ;; # in the library already, or no answer: it stays where it is
        esac
        name=${file##*/}
        if [ -e "$to/$name" ] || [ -h "$to/$name" ]; then
            echo "$to has a file of that name, so this one stays: $file" >&2
            continue
        fi
        mv -n -- "$file" "$to/" || :
        if [ -e "$file" ] || [ -h "$file" ]; then
            echo "it could not be moved to $to, so it stays: $file" >&2
            continue
        fi
        if [ "$code" = 0 ]; then
            "$REPRISE" gate imported -- "$to/$name" || echo "the gate does not know yet where $name is" >&2
        fi
    done
' sh {} +
