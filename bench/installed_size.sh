#!/bin/sh
# Goal: the installed size of the engine with its dependencies beside that of TotalSegmentator with its own.
#
#   bench/installed_size.sh FOLDER [TORCH]
#
# Both go into fresh environments in FOLDER, which is left for looking at. TORCH is what pip is asked for (default
# torch): name a CPU build, such as torch==2.13.0+cpu, lest libraries for GPUs are counted. What pip and its own
# packages take is in both.
set -eu
folder=$1 torch=${2:-torch}
project=$(cd "$(dirname "$0")/.." && pwd)
mkdir -p "$folder"
for name in whs_fast totalsegmentator; do
    test -d "$folder/$name" || python3 -m venv "$folder/$name"
done
"$folder/whs_fast/bin/pip" install -q "$project"
"$folder/totalsegmentator/bin/pip" install -q "$torch"
echo "$torch" >"$folder/constraint.txt"
"$folder/totalsegmentator/bin/pip" install -q -c "$folder/constraint.txt" TotalSegmentator
for name in whs_fast totalsegmentator; do
    packages=$("$folder/$name/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
    echo "$name: $(du -sm "$packages" | cut -f1) MB, of which"
    du -sm "$packages"/* | sort -rn | head -8 | sed "s#$packages/##; s/^/    /"
done
