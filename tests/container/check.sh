#!/usr/bin/env bash
# Builds the Dockerfile with buildah and runs its image with podman as one that may do nothing it need not: as 65532, on a
# root file system that is read-only, without capabilities and without a network but loopback. It takes a release build, so
# CI does not run it. `tests/container/check.sh` as root; what is missing is said, and ends it with 77.
set -euo pipefail
cd "$(dirname "$0")/../.."

missing=()
[[ $(id -u) == 0 ]] || missing+=(root)
for tool in buildah podman debootstrap cargo python3; do
  command -v "$tool" >/dev/null || missing+=("$tool")
done
if ((${#missing[@]})); then
  echo "the image was not checked: this needs ${missing[*]} (Debian has buildah, podman, debootstrap and python3)" >&2
  exit 77
fi

work=${TENACRON_CONTAINER_WORK:-target/container}
mkdir -p "$work"
work=$(realpath "$work")
storage=(--root "$work/storage" --runroot "$work/run-root")
buildah=(buildah "${storage[@]}")
# It runs wherever root may change its root folder.
export BUILDAH_ISOLATION=${BUILDAH_ISOLATION:-chroot}
# Of the limits that podman sets by itself not all may be raised everywhere.
limits=(--ulimit nofile=1024:1024 --ulimit nproc=512:512)
image=localhost/tenacron:check
name=tenacron-check-$$
began=$SECONDS

step() { printf '%4ds  %s\n' $((SECONDS - began)) "$*"; }
fail() {
  echo "FAILED: $*" >&2
  "${podman[@]}" logs "$name-daemon" 2>&1 | tail -n 20 >&2 || true
  exit 1
}
podman=(podman "${storage[@]}")
clean_up() {
  "${podman[@]}" rm --force --time 0 "$name-daemon" "$name-endpoint" >/dev/null 2>&1 || true
  "${podman[@]}" volume rm --force "$name-state" >/dev/null 2>&1 || true
  rm -rf "$work/config-$$"
}
trap clean_up EXIT
eventually() { # WHAT COMMAND…: within a minute
  local what=$1
  shift
  for _ in $(seq 120); do
    if "$@" >/dev/null 2>&1; then return; fi
    sleep 0.5
  done
  fail "$what: not within a minute"
}

step "make the base images"
tests/container/stand-ins.sh "$work" "${buildah[@]}"

# crun does not get on with every arrangement of control groups.
for runtime in crun runc none; do
  podman=(podman "${storage[@]}" --log-level fatal --cgroup-manager cgroupfs --runtime "$runtime")
  if "${podman[@]}" run --rm --network none "${limits[@]}" localhost/stand-in-builder true >"$work/runtime.log" 2>&1; then break; fi
done
[[ $runtime != none ]] || { echo "the image was not checked: this needs crun or runc, and one that runs here" >&2; exit 77; }

step "build the Dockerfile"
revision=$(git rev-parse HEAD 2>/dev/null || echo unknown)
"${buildah[@]}" build --format docker --layers \
  --build-arg BUILDER_IMAGE=localhost/stand-in-builder --build-arg RUNTIME_IMAGE=localhost/stand-in-runtime \
  --build-arg REVISION="$revision" --tag "$image" . >"$work/build.log" 2>&1 || { tail -n 30 "$work/build.log" >&2; fail "the build"; }

step "look at the image"
"${podman[@]}" image inspect "$image" >"$work/image.json"
python3 - "$work/image.json" "$revision" <<'PYTHON'
import json, sys
image = json.load(open(sys.argv[1]))[0]
config, health = image["Config"], image["Healthcheck"]
def same(what, found, wanted):
    assert found == wanted, f"{what}: {found!r}, not {wanted!r}"
same("user", config["User"], "65532:65532")
same("stop signal", config["StopSignal"], "SIGTERM")
same("entry point", config["Entrypoint"], ["/usr/local/bin/tenacron"])
same("command", config["Cmd"], ["run"])
same("volumes", sorted(config["Volumes"]), ["/run/tenacron", "/var/lib/tenacron"])
same("health check", health["Test"], ["CMD", "/usr/local/bin/tenacron", "healthcheck"])
labels = {name.removeprefix("org.opencontainers.image."): value for name, value in config["Labels"].items()}
same("revision", labels["revision"], sys.argv[2])
same("title", labels["title"], "tenacron")
same("licences", labels["licenses"], "MIT OR Apache-2.0")
assert labels["version"] and labels["description"], labels
print(f"       {image['Size'] / 1e6:.0f} MB")
PYTHON
mounted=$("${podman[@]}" image mount "$image")
for shell in bin/sh bin/bash usr/bin/sh usr/bin/bash busybox; do
  [[ ! -e $mounted/$shell ]] || fail "the image has $shell"
done
for wanted in etc/ssl/certs/ca-certificates.crt usr/share/doc/tenacron/LICENSE; do
  [[ -s $mounted/$wanted ]] || fail "the image has no $wanted"
done
for folder in var/lib/tenacron run/tenacron; do
  [[ $(stat -c %u:%g:%a "$mounted/$folder") == 65532:65532:700 ]] || fail "$folder is $(stat -c %u:%g:%a "$mounted/$folder")"
done
"${podman[@]}" image unmount "$image" >/dev/null

mkdir -p "$work/config-$$"
chmod 755 "$work/config-$$"
cat >"$work/config-$$/tenacron.toml" <<'TOML'
instance = "check"
[ecs]
region = "eu-central-1"
endpoint = "http://127.0.0.1:4510"
poll_interval = "500ms"
[defaults]
cluster = "batch"
launch_type = "FARGATE"
timeout = "2m"
network = { subnets = ["subnet-1"] }
[jobs.hello]
schedule = "0 3 1 1 *"
task_definition = "hello"
[local.task_definitions.hello]
containers = [{ name = "app", command = ["/usr/local/bin/tenacron", "--version"] }]
TOML
confined=(--detach --read-only --read-only-tmpfs=false --cap-drop all --security-opt no-new-privileges
  "${limits[@]}" --volume "$work/config-$$:/etc/tenacron:ro")
tenacron() { "${podman[@]}" exec "$name-daemon" /usr/local/bin/tenacron "$@"; }
start_daemon() {
  "${podman[@]}" run "${confined[@]}" --name "$name-daemon" --network "container:$name-endpoint" --volume "$name-state:/var/lib/tenacron" \
    --env AWS_ACCESS_KEY_ID=test --env AWS_SECRET_ACCESS_KEY=canary-secret "$image" >/dev/null
  eventually "the health check passes" "${podman[@]}" healthcheck run "$name-daemon"
}
ended_with() { # CODE: stops the daemon
  "${podman[@]}" stop --time 20 "$name-daemon" >/dev/null
  local code
  code=$("${podman[@]}" inspect --format '{{.State.ExitCode}}' "$name-daemon")
  [[ $code == "$1" ]] || fail "it ended with $code"
  "${podman[@]}" rm "$name-daemon" >/dev/null
}

step "run it: an endpoint in one container, the daemon in another"
"${podman[@]}" run "${confined[@]}" --name "$name-endpoint" --network none "$image" local --listen 127.0.0.1:4510 >/dev/null
start_daemon
tenacron --version | grep -F "commit ${revision:0:12}" >/dev/null || fail "the version: $(tenacron --version)"
pid=$("${podman[@]}" inspect --format '{{.State.Pid}}' "$name-daemon")
for wanted in $'Uid:\t65532\t65532\t65532\t65532' $'CapEff:\t0000000000000000' $'CapBnd:\t0000000000000000' $'NoNewPrivs:\t1'; do
  grep -Fx "$wanted" "/proc/$pid/status" >/dev/null || fail "the process is not $wanted"
done

step "a run, the doctor, no secret"
tenacron trigger hello >/dev/null
succeeded() { tenacron runs --status succeeded --json | python3 -c 'import json, sys; sys.exit(not json.load(sys.stdin))'; }
eventually "a run succeeds" succeeded
run=$(tenacron runs --json | python3 -c 'import json, sys; print(json.load(sys.stdin)[0]["run"])')
tenacron doctor >"$work/doctor.txt" || fail "the doctor complains: $(cat "$work/doctor.txt")"
if grep -q canary-secret "$work/doctor.txt"; then fail "the doctor tells a secret"; fi

step "nothing can be written but the two volumes"
if refusal=$(tenacron local --listen 127.0.0.1:0 --journal /etc/journal 2>&1); then fail "it wrote into /etc"; fi
grep -F "Read-only file system" <<<"$refusal" >/dev/null || fail "another refusal: $refusal"
changed=$("${podman[@]}" diff "$name-daemon" | grep -v -E '^[AC] /(etc|run|var|var/lib|dev|proc|sys)(/(tenacron|lib|\.containerenv|hosts|hostname|resolv\.conf|mtab|secrets|passwd|group))?/?$' || true)
[[ -z $changed ]] || fail "it changed $changed"

step "a daemon that hangs is unhealthy, and well again when it goes on"
kill -STOP "$pid"
if "${podman[@]}" healthcheck run "$name-daemon" >/dev/null 2>&1; then fail "a stopped process is healthy"; fi
kill -CONT "$pid"
eventually "it is healthy again" "${podman[@]}" healthcheck run "$name-daemon"

step "SIGTERM ends it with 0, and the next one knows the run"
ended_with 0
start_daemon
tenacron show "$run" --json >/dev/null || fail "the run is forgotten"

step "kill -9 leaves a state that the next one goes on with"
"${podman[@]}" kill --signal KILL "$name-daemon" >/dev/null
"${podman[@]}" wait "$name-daemon" >/dev/null
"${podman[@]}" start "$name-daemon" >/dev/null
eventually "the health check passes" "${podman[@]}" healthcheck run "$name-daemon"
tenacron show "$run" --json >/dev/null || fail "the run is forgotten"
ended_with 0
step "all is well"
