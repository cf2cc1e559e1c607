# shellcheck shell=bash
# Finds the blocks of commands that README.md and docs/*.md mark for the tests. readme.sh and
# ../debian/fresh.sh source it. A mark stands directly before its block, as a line of its own:
#
#   <!-- run: NAME -->            a test runs the block; no two blocks have the same name
#   <!-- not run: REASON -->      no test can
#
#   block FOLDER NAME      prints the block; fails and says so when there is none, or more than one
#   block_names FOLDER     prints the names, a line each; and what is wrong, as `unmarked FILE:LINE` for
#                          a block of sh without a mark, `stray FILE:LINE` for a mark without a block
#
# FOLDER is where README.md and docs/ are.

block() {
  local count
  count=$(walk_blocks "$1" | awk -F '\t' -v mark="run: $2" '$1 == "block" && $2 == mark' | wc -l)
  if ((count != 1)); then
    echo "README.md and docs/ have $count blocks with the mark: run: $2" >&2
    return 1
  fi
  walk_blocks "$1" |
    awk -F '\t' -v mark="run: $2" '$1 == "line" && $2 == mark { sub(/^line\t[^\t]*\t/, ""); print }'
}

block_names() {
  walk_blocks "$1" | awk -F '\t' '
    $1 == "stray" { print "stray " $3 }
    $1 == "block" && $2 == "" && $4 == "sh" { print "unmarked " $3 }
    $1 == "block" && sub(/^run: /, "", $2) { print $2 }
  '
}

# What the documents hold, by tabs: `block MARK FILE:LINE LANGUAGE` and `line MARK TEXT` for each fenced
# block, `stray MARK FILE:LINE` for a mark that has no block behind it.
walk_blocks() {
  awk '
    function forget() {
      if (mark != "") print "stray\t" mark "\t" place
      mark = ""
    }
    FNR == 1 { forget(); fenced = 0 }
    /^ *```/ && fenced { fenced = 0; mark = ""; next }
    fenced { print "line\t" mark "\t" $0; next }
    /^ *```/ {
      fenced = 1
      language = $1
      sub(/^```/, "", language)
      print "block\t" mark "\t" FILENAME ":" FNR "\t" language
      next
    }
    /[^ ]/ { forget() }
    /^<!-- (not )?run: .+ -->$/ { mark = substr($0, 6, length($0) - 9); place = FILENAME ":" FNR }
    END { if (!fenced) forget() }
  ' "$1/README.md" "$1"/docs/*.md
}
