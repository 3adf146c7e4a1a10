#!/usr/bin/env bash
# Makes the two base images of the Dockerfile out of what is at hand, where no registry of images is: a builder of Debian's
# packages, this machine's Rust and the crates of Cargo.lock, and a runtime of the files that distroless/cc has of Debian:
# the C library, libgcc, certificates, time zones, the user 65532, no shell. Used by check.sh, whose storage it fills.
set -euo pipefail

work=$1 # a folder that is kept between runs
shift   # the rest is how buildah is called

image_of() { # FOLDER NAME [buildah config arguments]: an image of a folder
  local folder=$1 name=$2 container
  shift 2
  container=$("${buildah[@]}" from scratch)
  "${buildah[@]}" copy --quiet "$container" "$folder" / >/dev/null
  "${buildah[@]}" config "$@" "$container"
  "${buildah[@]}" commit --quiet --rm --format docker "$container" "$name" >/dev/null
}

buildah=("$@")
# The same ones again keep the layers that were built upon them.
made=$(cat "$0" Cargo.lock | sha256sum; rustc --version)
if [[ $(cat "$work/made" 2>/dev/null) == "$made" ]] \
  && "${buildah[@]}" images localhost/stand-in-runtime >/dev/null 2>&1 && "${buildah[@]}" images localhost/stand-in-builder >/dev/null 2>&1; then
  exit
fi
rm -f "$work/made"
debian=$work/debian
if [[ ! -e $work/debian.ready ]]; then
  rm -rf "$debian"
  packages=gcc,libc6-dev,ca-certificates,tzdata,netbase
  debootstrap --variant=minbase --include=$packages bookworm "$debian" ${DEBIAN_MIRROR:+"$DEBIAN_MIRROR"} >"$work/debootstrap.log" 2>&1 \
    || { tail -n 5 "$work/debootstrap.log" >&2; exit 1; }
  rm -rf "$debian"/var/cache/apt/archives/*.deb "$debian"/var/lib/apt/lists/*
  touch "$work/debian.ready"
fi

runtime=$work/runtime
rm -rf "$runtime"
mkdir -p "$runtime"/{etc/ssl/certs,tmp,var/lib,run,home/nonroot}
chmod 1777 "$runtime/tmp"
chown 65532:65532 "$runtime/home/nonroot"
dpkg-query --admindir="$debian/var/lib/dpkg" --listfiles libc6 gcc-12-base libgcc-s1 ca-certificates tzdata netbase \
  | grep -v -x -e '/\.' -e /lib -e /lib64 | sort -u | sed 's,^/,./,' \
  | tar -C "$debian" -c --no-recursion -T - | tar -C "$runtime" -x
cp "$debian/etc/ssl/certs/ca-certificates.crt" "$runtime/etc/ssl/certs/"
printf 'root:x:0:0:root:/root:/sbin/nologin\nnonroot:x:65532:65532:nonroot:/home/nonroot:/sbin/nologin\n' >"$runtime/etc/passwd"
printf 'root:x:0:\nnonroot:x:65532:\n' >"$runtime/etc/group"
image_of "$runtime" localhost/stand-in-runtime --user 65532 --workingdir /home/nonroot \
  --env PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin --env SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt

# As in the official Rust image, but with the crates beside it, so that a build needs no network.
cargo fetch --locked --quiet
toolchain=$debian/usr/local/rust
crates=$debian/usr/local/cargo
rm -rf "$toolchain" "$crates"
mkdir -p "$toolchain" "$crates"
sysroot=$(rustc --print sysroot)
cp -a "$sysroot"/{bin,lib} "$toolchain/"
cp -a "${CARGO_HOME:-$HOME/.cargo}/registry" "$crates/"
image_of "$debian" localhost/stand-in-builder --env PATH=/usr/local/rust/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
  --env CARGO_HOME=/usr/local/cargo --env CARGO_NET_OFFLINE=true
printf '%s\n' "$made" >"$work/made"
