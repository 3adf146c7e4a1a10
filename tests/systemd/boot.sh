#!/usr/bin/env bash
# Boots the shipped unit under a real systemd and looks how it fares: a Debian 12 in systemd-nspawn, with the local ECS
# endpoint beside it in the same container, and no network but loopback. What is looked at: inside.sh.
#
#   tests/systemd/boot.sh [BINARY | PACKAGE.deb]     target/debug/tenacron unless told; it must run on Debian 12
#
#   DEBIAN=DIR     a Debian 12 with systemd, dbus and ca-certificates that is used (as a copy) instead of one from debootstrap
#   MIRROR=URL     whence debootstrap takes it, instead of the mirror that apt is configured with
#   KEEP=1         leaves the container's files behind
#
# Ends with 0 (all is well), 1 (something is not), or 77 (could not be run here, and why).
set -euo pipefail
cd "$(dirname "$0")/../.."

lacks() { echo "boot.sh was not run: $*" >&2; exit 77; }

tested=$(realpath "${1:-target/debug/tenacron}")
[ -f "$tested" ] || lacks "there is no file $tested"
[ "$(id -u)" = 0 ] || lacks "it needs root"
command -v systemd-nspawn >/dev/null || lacks "there is no systemd-nspawn (Debian: apt-get install systemd-container)"

scratch=$(mktemp -d "${TMPDIR:-/tmp}/tenacron-boot.XXXXXX")
container=
tidy() {
  if [ -n "$container" ] && kill "$container" 2>/dev/null; then wait "$container" || true; fi
  if [ -n "${KEEP:-}" ]; then echo "left behind: $scratch"; else rm -rf --one-file-system "$scratch"; fi
}
trap tidy EXIT
root=$scratch/debian

if [ -n "${DEBIAN:-}" ]; then
  cp -a "$DEBIAN" "$root"
else
  command -v debootstrap >/dev/null || lacks "there is no debootstrap (apt-get install debootstrap), and no DEBIAN=DIR"
  mirror=${MIRROR:-$(apt-get indextargets --format '$(CODENAME) $(COMPONENT) $(REPO_URI)' 2>/dev/null |
    awk '$1 == "bookworm" && $2 == "main" { print $3; exit }')}
  [ -n "$mirror" ] || lacks "apt knows no mirror of Debian 12, and MIRROR=URL is not set"
  echo "making a Debian 12 ..."
  debootstrap --variant=minbase --include=systemd,systemd-sysv,dbus,ca-certificates bookworm "$root" "$mirror" >"$scratch/debootstrap.log" 2>&1 ||
    lacks "debootstrap failed: $(tail -n 3 "$scratch/debootstrap.log")"
fi

# The endpoint is asked for by its name, so that looking up names is tried too.
echo "127.0.0.1 localhost" >"$root/etc/hosts"
if [ "${tested##*.}" = deb ]; then
  cp "$tested" "$root/tenacron.deb"
  chroot "$root" dpkg --install /tenacron.deb
else
  # As the package does it.
  install -m 755 "$tested" "$root/usr/bin/tenacron"
  install -m 644 systemd/tenacron.service "$root/usr/lib/systemd/system/tenacron.service"
fi
# The test, which the container runs as a unit of its own.
mkdir "$root/test"
install -m 755 tests/systemd/inside.sh "$root/test/inside.sh"
cat >"$root/etc/systemd/system/boot-test.service" <<'UNIT'
[Service]
Type=oneshot
ExecStart=/test/inside.sh
StandardOutput=append:/test/log
StandardError=inherit
UNIT
ln -s ../boot-test.service "$root/etc/systemd/system/multi-user.target.wants/boot-test.service"
: >"$root/test/log"

echo "booting it ..."
# The unified hierarchy also where the machine itself has the old one; not registered, for there may be no machined.
SYSTEMD_NSPAWN_UNIFIED_HIERARCHY=1 timeout --kill-after=10 300 systemd-nspawn --quiet --directory="$root" --boot \
  --machine="tenacron-boot-$$" --register=no --keep-unit --private-network --console=pipe </dev/null >"$scratch/console.log" 2>&1 &
container=$!
tail --lines=+1 --follow --pid="$container" "$root/test/log" 2>/dev/null &
code=0
wait "$container" || code=$?
wait
if [ ! -s "$root/test/log" ]; then
  # systemd did not come up: nothing is known of the unit.
  lacks "systemd-nspawn does not boot here (it ended with $code): $(tail -n 3 "$scratch/console.log")"
fi
if [ "$(tail -n 1 "$root/test/log")" != "all is well" ]; then
  echo "the boot test failed (systemd-nspawn ended with $code)" >&2
  exit 1
fi
