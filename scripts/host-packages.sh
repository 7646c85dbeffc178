# Sourced by scripts/package after setup.sh: .deb and .rpm, which bring a Node of their own.
kept=$PWD/node_modules/.cache/stillpoint-packages
# The newest one of which the Go module proxy has every part.
nfpm_version=v2.43.4

refuse() { echo "$1" >&2; exit 2; }

nfpm() {
  local program=$kept/nfpm-$nfpm_version/nfpm
  if [ ! -x "$program" ]; then
    command -v go >/dev/null || refuse 'packages for hosts are made by nfpm, which needs Go (1.24 or newer) to be built'
    GOBIN=$(dirname "$program") go install "github.com/goreleaser/nfpm/v2/cmd/nfpm@$nfpm_version" >&2
  fi
  "$program" "$@"
}

# Prints the archive of Node for an architecture, fetched once and checked each time.
node_archive() {
  local version archive integrity
  version=$(node --print 'process.versions.node')
  read -r archive integrity < <(awk -v v="$version" -v a="$1" '$1 == v && $2 == a { print $3, $4 }' scripts/packaging/node-checksums) ||
    refuse "scripts/packaging/node-checksums has no line for Node $version on $1"
  local file=$kept/$archive-$version.tgz
  [ -e "$file" ] || (cd "$kept" && npm pack "$archive@$version" --loglevel=error) >&2
  [ "sha512-$(openssl dgst -sha512 -binary "$file" | base64 -w0)" = "$integrity" ] ||
    refuse "$file is not what scripts/packaging/node-checksums names: remove it, and see why"
  echo "$file"
}

# The libraries that the programs need, without what only compilers and other platforms read.
lay_libraries() {
  local into=$1 library
  npm ls --omit=dev --all --parseable | sed -n "s#^$PWD/##p" | grep -vE '^node_modules/(@types/|undici-types$|bare-)' |
    while read -r library; do
      mkdir -p "$into/$library"
      tar -C "$library" --exclude=./node_modules --exclude='*.ts' --exclude='*.mts' --exclude='*.cts' --exclude='*.map' \
        --exclude=./prebuilds --exclude=./test --exclude=./tests --exclude=./bench --exclude=./benchmarks \
        --exclude=./docs --exclude='*.html' --exclude='.[a-z]*' --exclude='*.md' -c . |
        tar -C "$into/$library" -x --no-same-owner
      # Some come with every file marked as a program.
      find "$into/$library" -type f -exec chmod a-x {} +
    done
  # The same libraries serve every architecture.
  local built
  built=$(find "$into" -name '*.node' -o -name '*.so')
  [ -z "$built" ] || refuse "libraries for one architecture only: $built"
}

# What Debian's tools want to read of a version. What changed in it, git tells.
changes() {
  local version when
  version=$(node --print 'require("./package.json").version')
  when=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || date +%s)}
  printf 'stillpoint (%s) unstable; urgency=medium\n\n  * Version %s.\n\n -- %s  %s\n' "$version" "$version" \
    "$(sed -n 's/^maintainer: //p' scripts/packaging/nfpm.yaml)" "$(LC_ALL=C date -R -u -d "@$when")"
}

# Lays out in $1 what a host gets, for the architecture $2.
lay_host() {
  local tree=$1 library=$1/usr/lib/stillpoint share=$1/usr/share name
  mkdir -p "$library/bin" "$tree/usr/bin" "$tree/usr/lib/systemd/system" "$share/doc/stillpoint/examples" "$share/lintian/overrides"
  tar -xzf "$(node_archive "$2")" -C "$library" --strip-components=1 package/bin/node package/LICENSE
  mv "$library/LICENSE" "$library/bin/LICENSE"
  cp -r dist proto package.json LICENSE "$library/"
  lay_libraries "$library"
  for name in stillpoint stillpoint-agent stillpoint-conformance; do
    printf '#!/bin/sh\nexec /usr/lib/stillpoint/bin/node /usr/lib/stillpoint/dist/%s.js "$@"\n' "$name" > "$tree/usr/bin/$name"
    chmod +x "$tree/usr/bin/$name"
    # Nobody shall run it with another Node by its first line.
    sed -i 1d "$library/dist/$name.js"
    chmod a-x "$library/dist/$name.js"
  done
  cp scripts/packaging/report-failure scripts/packaging/restart-agent "$library/"
  cp scripts/packaging/systemd/*.service scripts/packaging/systemd/*.timer "$tree/usr/lib/systemd/system/"
  cp -r README.md docs "$share/doc/stillpoint/"
  cp scripts/packaging/systemd/*.conf "$share/doc/stillpoint/examples/"
  cp scripts/packaging/debian/copyright "$share/doc/stillpoint/"
  cp scripts/packaging/debian/lintian-overrides "$share/lintian/overrides/stillpoint"
  node scripts/manual.ts "$share"
  changes > "$share/doc/stillpoint/changelog"
  gzip -9n "$share/doc/stillpoint/changelog"
  find "$share/man" -type f -exec gzip -9n {} +
  # Owned by root and written by root alone, whatever the umask here is.
  chmod -R u=rwX,go=rX "$tree"
}

# One package: deb or rpm ($1), for an architecture ($2), into a folder ($3).
host_package() (
  STAGE=$(mktemp -d)
  trap 'rm -rf "$STAGE"' EXIT
  lay_host "$STAGE/tree" "$2"
  STILLPOINT_ARCHITECTURE=$2
  STILLPOINT_VERSION=$(node --print 'require("./package.json").version')
  export STAGE STILLPOINT_ARCHITECTURE STILLPOINT_VERSION
  nfpm package --config scripts/packaging/nfpm.yaml --packager "$1" --target "$3/"
)
