#!/usr/bin/env bash
# What `npm run release` makes:
#
#   test/service/release.sh     as root on Debian, after `npm ci`; takes some minutes
#
# It is made twice, in two places, with the same bytes. The package is lintian's and goes an
# administrator's way, by the commands of docs/install-debian.md, on a fresh Debian 13 with systemd as
# its first process: without Kopano, with Kopano, updated with a message in the queue, removed, purged.
# The image archive is made on a base of a few files: image.sh has the same image on Debian. The files
# for Kubernetes and podman are linted.
#
# The last line is "N passed, N failed"; the exit status is 0 when something passed and nothing failed.
set -uo pipefail
cd "$(dirname "$0")/../.." || exit 1
# shellcheck source=test/service/shell.sh
. test/service/shell.sh
# shellcheck source=test/service/blocks.sh
. test/service/blocks.sh

readonly LIB=/var/lib/kopano/spamd PACKAGES=/usr/src/packages
version=$(node -p 'require("./package.json").version')
readonly version OLDER=0.0.1

# --- what is made

# release FOLDER [FLAG...]: in the current folder
release() {
  npm run --silent release -- --output "$@"
}

# Busybox, and of node, flock and setpriv no more than that they are there.
make_tiny_base() {
  local base=$scratch/tiny program
  mkdir -p "$base/bin" "$base/usr/local/bin"
  cp -L "$(command -v busybox)" "$base/bin/busybox" || return 1
  # Debian's busybox is not static
  ldd "$base/bin/busybox" | grep -o '/[^ ]*' | xargs -r cp -L --parents -t "$base"
  for program in sh cat rm; do ln -s busybox "$base/bin/$program"; done
  for program in node flock setpriv; do
    printf '#!/bin/sh\nexit 0\n' >"$base/usr/local/bin/$program"
    chmod 755 "$base/usr/local/bin/$program"
  done
  tar -C "$base" -cf "$scratch/tiny.tar" .
}

# The same sources somewhere else, as a machine with other habits has them.
copy_sources() {
  elsewhere=$scratch/some/where/else
  mkdir -p "$elsewhere"
  tar -c --exclude=./dist --exclude=./release --exclude=./.git --exclude=./node_modules . |
    tar -x -C "$elsewhere"
  ln -s "$(realpath node_modules)" "$elsewhere/node_modules"
}

last_commit() {
  git -c safe.directory="$PWD" log -1 --format="$1"
}

release_elsewhere() (
  SOURCE_DATE_EPOCH=$(last_commit %ct) DEBFULLNAME=$(last_commit %an) DEBEMAIL=$(last_commit %ae)
  export SOURCE_DATE_EPOCH DEBFULLNAME DEBEMAIL TZ=Asia/Tokyo
  umask 077
  cd "$elsewhere" && release "$@"
)

release_older() {
  sed -i "s/\"version\": \"$version\"/\"version\": \"$OLDER\"/" "$elsewhere/package.json"
  sed -i "s/'$version'/'$OLDER'/" "$elsewhere/src/version.ts"
  release_elsewhere "$scratch/older" --no-image
}

has_all() {
  local found
  found=$(cd "$scratch/one" && printf '%s ' *)
  echo "$found"
  (cd "$scratch/one" && sha256sum --check SHA256SUMS) &&
    [[ $found == "SHA256SUMS kopano-learnd-$version-$(dpkg --print-architecture).oci.tar kopano-learnd.mjs kopano-learnd_${version}_all.deb " ]]
}

maintainer_is_said() {
  local found
  found=$(dpkg-deb --field "$scratch/one/kopano-learnd_${version}_all.deb" Maintainer)
  echo "$found"
  [[ $found == "$(last_commit '%an <%ae>')" ]]
}

program_runs() {
  [[ $("$scratch/one/kopano-learnd.mjs" --version) == "$version" ]]
}

lintian_is_content() {
  quiet lintian --allow-root --fail-on error,warning "$scratch/one/kopano-learnd_${version}_all.deb"
}

# podman and docker load it by this name.
image_is_loaded() {
  buildah pull --quiet "oci-archive:$(echo "$scratch"/one/*.oci.tar)" &&
    configuration "kopano-learnd:$version" config.User | grep -xE '[1-9][0-9]*:[1-9][0-9]*' &&
    configuration "kopano-learnd:$version" config.Entrypoint | grep -xF kopano-learnd
}

says_what_is_left_out() {
  local without=$scratch/without said program
  mkdir -p "$without"
  for program in node npm sh git tar gzip; do ln -s "$(command -v "$program")" "$without/"; done
  # what /usr/sbin and /sbin have isn't hidden by this: buildah lies elsewhere
  said=$(PATH=$without node scripts/release.mjs --output "$scratch/partly") || return 1
  echo "$said"
  grep -q 'left out: .*\.deb: .*dpkg-deb' <<<"$said" && grep -q 'left out: .*\.oci\.tar: .*buildah' <<<"$said" &&
    [[ $(wc -l <"$scratch/partly/SHA256SUMS") == 1 ]] || return 1
  ! PATH=$without node scripts/release.mjs --output "$scratch/partly" --complete
}

test_files() {
  echo '--- what is made'
  make_tiny_base && copy_sources || return 1
  test_that 'npm run release makes it' release "$scratch/one" --base "$scratch/tiny.tar" --complete
  test_that 'these are the program, the package, the image and their sums' has_all
  test_that 'the program runs' program_runs
  test_that 'who made the last commit maintains the package' maintainer_is_said
  test_that 'somewhere else it is made once more' \
    release_elsewhere "$scratch/other" --base "$scratch/tiny.tar" --complete
  test_that 'the bytes are the same' cmp "$scratch/one/SHA256SUMS" "$scratch/other/SHA256SUMS"
  test_that 'lintian has nothing to say' lintian_is_content
  test_that 'the image is loaded by its name, and its user is not root' image_is_loaded
  test_that 'without the programs for it, it says what is left out' says_what_is_left_out
  test_that 'an older version is made' release_older
}

# --- what containers are run by

# kubectl would ask a cluster; what the cluster would say of a wrong name or form, the types of its
# interface say, too.
kubernetes_understands() {
  local folder=$scratch/kubernetes
  mkdir -p "$folder"
  online npm install --silent --no-save --prefix "$folder" kubernetes-types@1.30 yaml@2 || return 1
  # shellcheck disable=SC2016
  node --input-type=module -e '
    import { readFileSync, writeFileSync } from "node:fs";
    import { createRequire } from "node:module";
    const [file, folder] = process.argv.slice(1);
    const { parseAllDocuments } = createRequire(`${folder}/`)("yaml");
    // kubectl reads YAML 1.1
    const documents = parseAllDocuments(readFileSync(file, "utf8"), { version: "1.1" });
    const parts = documents.map((each, index) => {
      const { kind, apiVersion } = each.toJS();
      const module = apiVersion === "v1" ? "core/v1" : apiVersion;
      return `import type { ${kind} as Kind${index} } from "kubernetes-types/${module}";
        export const document${index}: Kind${index} = ${JSON.stringify(each.toJS())};`;
    });
    console.log(documents.map((each) => each.toJS().kind).join(" "));
    writeFileSync(`${folder}/check.ts`, parts.join("\n"));
  ' service/kubernetes/kopano-learnd.yaml "$folder" || return 1
  echo '{"compilerOptions": {"strict": true, "noEmit": true, "types": [], "module": "esnext",
    "moduleResolution": "bundler"}, "files": ["check.ts"]}' >"$folder/tsconfig.json"
  npx tsc -p "$folder"
}

# Of the package podman only the program that makes units of such files is needed.
podman_understands() {
  local made=$scratch/quadlet
  online "${machine[@]}" sh -euc 'cd /usr/src && apt-get -qq download podman && dpkg-deb -x podman_*.deb podman' &&
    mkdir -p "$root/usr/src/quadlet" && cp service/podman/*.container "$root/usr/src/quadlet/" || return 1
  "${machine[@]}" env QUADLET_UNIT_DIRS=/usr/src/quadlet /usr/src/podman/usr/libexec/podman/quadlet -dryrun \
    >"$made" 2>"$scratch/said" || { cat "$scratch/said" && return 1; }
  grep -E '^ExecStart=/usr/bin/podman run .*--read-only .*localhost/kopano-learnd:' "$made" &&
    ! grep -v 'Loading source unit file' "$scratch/said"
}

# Both name the image that is made.
version_is_named() {
  grep -F "image: kopano-learnd:$version" service/kubernetes/kopano-learnd.yaml &&
    grep -F "Image=localhost/kopano-learnd:$version" service/podman/kopano-learnd.container
}

test_containers() {
  echo '--- Kubernetes and podman'
  test_that 'yamllint has nothing to say' quiet yamllint --strict \
    -d '{extends: default, rules: {line-length: {max: 100}, octal-values: enable}}' service/kubernetes
  test_that "Kubernetes' types are kept to" kubernetes_understands
  test_that "podman makes a unit of its file" podman_understands
  test_that 'they name this version' version_is_named
}

# --- the machine

make_machine() {
  # dpkg's and the package's questions are not answered
  online test/debian/bare.sh trixie "$root" && mount_machine || return 1
  echo '127.0.0.1 localhost' >"$root/etc/hosts"
  # what a machine that serves mail has
  online "${machine[@]}" apt-get -qq update &&
    online "${machine[@]}" apt-get -qq -y --no-install-recommends install systemd || return 1
  mkdir -p "$root$PACKAGES/new" "$root$PACKAGES/old"
  bring_lab
}

# Kopano's user and its folder as kopano-spamd leaves it; the modes are not the package's.
bring_kopano() {
  add_kopano
  install -d -o $KOPANO -g $KOPANO -m 0750 "$root${LIB%/*}"
  install -d -o $KOPANO -g $KOPANO -m 0751 "$root$LIB"
  install -d -o $KOPANO -g $SA_GROUP -m 2770 "$root$LIB/ham"
}

# Runs a document's block, in the folder of the new or the old package: follow NAME [new|old]
follow() {
  local text
  text=$(block . "$1") || return 1
  online "${machine[@]}" env --chdir="$PACKAGES/${2-new}" bash -euo pipefail -c "$text" </dev/null
}

# --- what is looked at

learns() {
  seed=$((seed + 1))
  write spam && write ham && within 60 nothing_waits "$root$LIB" && remembered spam $seed && remembered ham $seed && return 0
  find "$root$LIB" -ls
  "${machine[@]}" journalctl --lines 10 -u kopano-learnd
  return 1
}

write() {
  judge "$LIB" "$1" $seed "${machine[@]}" env --chdir="$LAB" runuser -u kopano --
}

unit_is() {
  local state
  state=$("${machine[@]}" systemctl show --property UnitFileState,ActiveState --value kopano-learnd | sort | tr '\n' ' ')
  echo "$state"
  [[ $state == "$1 " ]]
}

# has_rights PATH USER:GROUP:MODE, by the names of the machine
has_rights() {
  local found
  found=$("${machine[@]}" stat -c '%U:%G:%a' "$1")
  echo "$found"
  [[ $found == "$2" ]]
}

folders_are_made() {
  has_rights $LIB kopano:kopano:755 && has_rights $LIB/spam kopano:kopano:755 &&
    has_rights $LIB/.learnd kopano:kopano:700 && [[ ! -e $root$LIB/ham ]]
}

kopano_is_unchanged() {
  has_rights ${LIB%/*} kopano:kopano:750 && has_rights $LIB kopano:kopano:751 &&
    has_rights $LIB/ham kopano:amavis:2770
}

conf_is_private() {
  has_rights /etc/kopano-learnd.conf root:kopano:640
}

is_version() {
  [[ $("${machine[@]}" kopano-learnd --version) == "$1" ]]
}

# What the package brings beside the program.
manual_is_there() {
  [[ -e $root/usr/share/man/man1/kopano-learnd.1.gz && -e $root/usr/share/man/man5/kopano-learnd.conf.5.gz ]] &&
    "${machine[@]}" bash -c '. /usr/share/bash-completion/completions/kopano-learnd && complete -p kopano-learnd'
}

in_queue() {
  [[ $(find "$root$LIB/.learnd/queue" -name '*.eml' | wc -l) == "$1" ]]
}

# Nothing is left that has the program's name, but the fetched package itself.
nothing_is_left() {
  local left
  left=$(find "$root" -xdev \( -path "$root/usr/src" -o -path "$root/proc" -o -path "$root/dev" -o -path "$root/sys" -o -path "$root/run" -o -path "$root/var/log" \) -prune \
    -o -name '*learnd*' -print)
  echo "$left"
  [[ -z $left ]] && ! grep -rs learnd "$root/etc/systemd" "$root/var/lib/systemd"
}

# --- the tests

test_without_kopano() {
  echo '--- a machine without Kopano'
  test_that 'the package is installed by the documented commands' follow deb-install old
  test_that 'the service is enabled, and not started' unit_is 'enabled inactive'
  test_that 'its user and folders are made' folders_are_made
  test_that 'only root and the service read the settings' conf_is_private
  test_that 'it is purged' follow deb-purge
  test_that 'nothing is left' nothing_is_left
  test_that 'the folders are gone, too' not test -e "$root${LIB%/*}"
  test_that 'the user stays' "${machine[@]}" id kopano
  "${machine[@]}" userdel kopano
}

test_with_kopano() {
  local began
  echo '--- beside Kopano'
  bring_kopano
  if ! start_private_rspamd; then
    failed=$((failed + 1))
    return 1
  fi
  began=$SECONDS
  test_that 'an older version is installed by the documented commands' follow deb-install old
  test_that 'it is that version' is_version $OLDER
  test_that 'the service is enabled, and runs' unit_is 'active enabled'
  test_that 'the first messages are learned' learns
  echo "        $((SECONDS - began)) s after the first command"
  test_that 'the folders that were there are as they were' kopano_is_unchanged
  test_that 'it takes a new setting from the file' takes_settings
  test_that 'root asks the doctor, who finds nothing wrong' doctor_is_content
  test_that 'systemd understands the unit' \
    quiet "${machine[@]}" systemd-analyze --man=no verify kopano-learnd.service
  test_that 'there are its man pages, and bash completes it' manual_is_there
}

# The administrator's own line, which an update must not lose.
takes_settings() {
  echo 'LEARN_AFTER=archive' >>"$root/etc/kopano-learnd.conf"
  "${machine[@]}" systemctl restart kopano-learnd && learns &&
    [[ $(find "$root$LIB/.learnd/archive" -name '*.eml' | wc -l) == 2 ]]
}

# What LEARN_AFTER=archive kept.
messages_stay() {
  [[ -n $(find "$root$LIB/.learnd/archive" -name '*.eml') ]] &&
    [[ -z $(find "$root$LIB/.learnd" -type f ! -name '*.eml') ]]
}

# As root, who becomes the owner of the spool and reads the same settings.
doctor_is_content() {
  "${machine[@]}" kopano-learnd doctor
}

test_update() {
  echo '--- an update'
  kill -HUP "$rspamd"
  within 10 not controller_answers
  seed=$((seed + 1))
  write spam
  test_that 'while rspamd is away a message waits in the queue' within 30 in_queue 1
  test_that 'the new version is installed, and asks nothing' follow deb-update
  test_that 'it is the new version' is_version "$version"
  test_that 'the service runs again' unit_is 'active enabled'
  test_that 'the message is still there' in_queue 1
  test_that 'the settings are still there' grep -x 'LEARN_AFTER=archive' "$root/etc/kopano-learnd.conf"
  test_that 'and nobody else reads them' conf_is_private
  kill -HUP "$rspamd"
  test_that 'the message is learned when rspamd is back' within 90 nothing_waits "$root$LIB"
  test_that 'rspamd remembers it' remembered spam $seed
}

test_removal() {
  echo '--- removed and purged'
  kill -HUP "$rspamd"
  within 10 not controller_answers
  seed=$((seed + 1))
  write spam
  within 30 in_queue 1
  test_that 'it is removed' follow deb-remove
  test_that 'the program is gone' not test -e "$root/usr/bin/kopano-learnd"
  test_that 'the daemon has ended' not "${machine[@]}" pgrep -f 'kopano-learnd.mjs watch'
  test_that 'the queue stays' in_queue 1
  test_that 'the settings stay' test -e "$root/etc/kopano-learnd.conf"
  kill -HUP "$rspamd"
  test_that 'installed once more it goes on where it was' follow deb-update
  test_that 'and learns what waited' within 90 nothing_waits "$root$LIB"
  seed=$((seed + 1))
  "${machine[@]}" systemctl stop kopano-learnd
  write ham
  test_that 'it is purged, and asks nothing' follow deb-purge
  test_that 'of its state dir the messages are left, and nothing else' messages_stay
  rm -r "$root$LIB/.learnd"
  test_that 'nothing of its own is left' nothing_is_left
  test_that "Kopano's folders and what lies in them stay" \
    test "$(find "$root$LIB/ham" -name '*.eml' | wc -l)" = 1
  test_that 'they are as they were' kopano_is_unchanged
}

run_all() {
  local machine_pid
  root=$scratch/trixie
  seed=0
  machine=(chroot "$root" env -i HOME=/root LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive
    PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin)
  # it waits for the network most of the time
  make_machine >"$scratch/machine.log" 2>&1 &
  machine_pid=$!
  test_files
  if ! wait $machine_pid || ((failed > 0)); then
    tail -n 20 "$scratch/machine.log"
    echo 'nothing more can be tried'
    failed=$((failed + 1))
    return
  fi
  cp "$scratch"/one/*.deb "$root$PACKAGES/new/" && cp "$scratch"/older/*.deb "$root$PACKAGES/old/"
  test_containers
  test_that 'systemd runs, on a fresh Debian 13' boot
  test_without_kopano
  test_with_kopano && test_update && test_removal
  halt
}

# What `apart` installs isn't enough.
if [[ ${1-} != inside ]]; then install_missing lintian busybox yamllint; fi
apart "$@"
