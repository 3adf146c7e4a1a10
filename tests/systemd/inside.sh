#!/usr/bin/env bash
# What boot.sh runs inside the container: the unit's life, from its first start to a drain. Its last line tells the verdict.
set -Eeuo pipefail
export TENACRON_CONFIG=/etc/tenacron/tenacron.toml

failed() {
  trap - ERR
  echo "FAILED: $*"
  systemctl status --no-pager --lines=0 tenacron tenacron-ecs || true
  journalctl --no-pager --lines=60 --output=cat --unit=tenacron --unit=tenacron-ecs
  systemctl exit 1
  exit 1
}
trap 'failed "line $LINENO"' ERR

step() { echo "-- $*"; }
property() { systemctl show --property="$1" --value tenacron; }
# Waits until a command succeeds; only ever long where something is wrong.
until_so() {
  for _ in $(seq 300); do
    if "$@" >/dev/null 2>&1; then return; fi
    sleep 0.2
  done
  failed "waited in vain for: $*"
}
is() { # PROPERTY VALUE
  local found
  found=$(property "$1")
  [ "$found" = "$2" ] || failed "$1 is $found instead of $2"
}
status_says() { property StatusText | grep --quiet --extended-regexp -- "$1"; }
log_says() { journalctl --output=cat --unit=tenacron | grep --quiet -- "$1"; }
runs() { tenacron runs --job "$1" --status "$2" -n 1000 | grep --count "^$1-" || true; }
has_run() { [ "$(runs "$1" "$2")" -gt 0 ]; }
pid_is_not() { [ "$(property MainPID)" != "$1" ] && [ "$(property MainPID)" != 0 ] && [ "$(property ActiveState)" = active ]; }
has_begun() { [ "$(wc -l </run/begun)" = "$1" ]; }
is_over() { [ "$(property ActiveState)" != deactivating ]; }

step "installed: a configuration with secrets as credentials, and the local ECS endpoint as a unit beside it"
mkdir -p /etc/tenacron/jobs.d /etc/tenacron/secrets
chmod 700 /etc/tenacron/secrets
printf '[default]\naws_access_key_id = test\naws_secret_access_key = test\n' >/etc/tenacron/secrets/aws
chmod 600 /etc/tenacron/secrets/aws
cat >/etc/default/tenacron <<'EOF'
INSTANCE=boot
AWS_EC2_METADATA_DISABLED=true
EOF
cat >/etc/tenacron/tenacron.toml <<'EOF'
instance = "${INSTANCE}"
[http]
listen = "127.0.0.1:8474"
[ecs]
region = "eu-central-1"
endpoint = "http://localhost:8475"
poll_interval = "500ms"
[defaults]
cluster = "batch"
launch_type = "FARGATE"
timeout = "10m"
network = { subnets = ["subnet-1"] }
EOF
cat >/etc/tenacron/jobs.d/jobs.toml <<'EOF'
[jobs.tick]
schedule = "*/2 * * * * *"
task_definition = "tick"
[[jobs.tick.container]]
name = "app"
[local.task_definitions.tick]
containers = [{ name = "app", command = ["true"] }]

[jobs.long]
schedule = "0 3 1 1 *"
task_definition = "long"
[[jobs.long.container]]
name = "app"
[local.task_definitions.long]
containers = [{ name = "app", command = ["sh", "-c", "echo begun >> /run/begun; cat /run/gate"] }]
EOF
mkfifo /run/gate
cat >/etc/systemd/system/tenacron-ecs.service <<'EOF'
[Service]
Environment=INSTANCE=boot
ExecStart=/usr/bin/tenacron local --listen 127.0.0.1:8475 --journal /var/lib/tenacron-ecs.jsonl
EOF
mkdir -p /etc/systemd/system/tenacron.service.d
cat >/etc/systemd/system/tenacron.service.d/test.conf <<'EOF'
[Service]
LoadCredential=aws:/etc/tenacron/secrets/aws
Environment=AWS_SHARED_CREDENTIALS_FILE=%d/aws
# So that a hung loop is found out soon.
WatchdogSec=6s
RestartSec=500ms
EOF
systemctl daemon-reload
systemctl start tenacron-ecs
until_so bash -c ': </dev/tcp/127.0.0.1/8475'

step "systemd has nothing to say about the unit"
complaints=$(systemd-analyze verify tenacron.service 2>&1)
[ -z "$complaints" ] || failed "systemd-analyze verify: $complaints"
systemd-analyze security --no-pager tenacron | tail -n 1

step "it starts, and is ready when systemctl returns"
systemctl enable tenacron
systemctl start tenacron
is ActiveState active
is SubState running
until_so status_says '^next firing: tick at [0-9TZ:-]+; [0-9]+ runs? in flight$'
property StatusText
[ "$(stat --format=%u "/proc/$(property MainPID)")" != 0 ] || failed "it runs as root"
[ "$(stat --format=%a /var/lib/private/tenacron)" = 700 ] || failed "the state is readable by others"
until_so has_run tick succeeded

step "a task of long duration begins"
long=$(tenacron trigger long --quiet --reason "boot test")
until_so has_begun 1
until_so has_run long running

step "kill -9: it comes back by itself with its state, and launches nothing twice"
before=$(property MainPID)
succeeded=$(runs tick succeeded)
kill -9 "$before"
until_so pid_is_not "$before"
is NRestarts 1
[ "$(runs tick succeeded)" -ge "$succeeded" ] || failed "runs are missing"
has_run long running || failed "the long run is not followed"

step "a process that hangs: the watchdog ends it, and it comes back"
before=$(property MainPID)
kill -STOP "$before"
until_so pid_is_not "$before"
is NRestarts 2
journalctl --output=cat --unit=tenacron | grep --quiet "Watchdog timeout" || failed "it was not the watchdog"
has_run long running || failed "the long run is not followed"

step "reload: good files are taken"
before=$(property MainPID)
cat >/etc/tenacron/jobs.d/more.toml <<'EOF'
[jobs.more]
schedule = "@yearly"
task_definition = "tick"
EOF
systemctl reload tenacron
tenacron jobs | grep --quiet "^more " || failed "the new job is not there"
status_says "refused" && failed "the status speaks of a refusal"

step "reload: broken files are refused, systemctl says so, and the daemon goes on"
echo 'schedule = 5' >>/etc/tenacron/jobs.d/more.toml
if systemctl reload tenacron; then failed "the reload succeeded"; fi
is ActiveState active
is MainPID "$before"
until_so status_says "the newest configuration was refused, and the one before goes on"
log_says "configuration refused; the one before goes on" || failed "the log does not say so"
log_says "more.toml:4:1" || failed "the log does not say where"
if systemctl reload tenacron; then failed "the second reload succeeded"; fi
is ActiveState active
rm /etc/tenacron/jobs.d/more.toml
systemctl reload tenacron
status_gone() { ! status_says refused; }
until_so status_gone
is MainPID "$before"

step "stop: gone within its limit, the task goes on, and the next start follows it"
systemctl stop tenacron
is ActiveState inactive
is Result success
is ExecMainStatus 0
has_begun 1 || failed "the task was begun again"
systemctl start tenacron
has_run long running || failed "the long run is not followed"
echo >/run/gate
until_so has_run long succeeded
tenacron show "$long" | grep --quiet succeeded || failed "$long did not succeed"
has_begun 1 || failed "the task was begun again"

step "a broken configuration at start: exit code 78, and no restart"
systemctl stop tenacron
echo 'instance = 7' >/etc/tenacron/jobs.d/broken.toml
if systemctl start tenacron; then failed "it started"; fi
is ActiveState failed
is SubState failed
is Result exit-code
is ExecMainStatus 78
is NRestarts 0
rm /etc/tenacron/jobs.d/broken.toml

step "run --drain: begins nothing new, waits for the run in flight, then ends"
cat >/etc/systemd/system/tenacron.service.d/drain.conf <<'EOF'
[Service]
ExecStart=
ExecStart=/usr/bin/tenacron run --drain
TimeoutStopSec=2min
EOF
systemctl daemon-reload
systemctl start tenacron
long=$(tenacron trigger long --quiet)
until_so has_run long running
until_so has_begun 2
systemctl stop --no-block tenacron
until_so status_says "^draining, begins nothing new: waits for 1 run in flight$"
property StatusText
if tenacron trigger long 2>/run/declined; then failed "a trigger was taken"; fi
grep --quiet draining /run/declined || failed "it does not say why: $(cat /run/declined)"
is ActiveState deactivating
echo >/run/gate
until_so is_over
is ActiveState inactive
is Result success
is ExecMainStatus 0
log_says '"message":"daemon stopped"' || failed "it did not say goodbye"
rm /etc/systemd/system/tenacron.service.d/drain.conf
systemctl daemon-reload
systemctl start tenacron
tenacron show "$long" | grep --quiet succeeded || failed "$long did not succeed"

echo "all is well"
systemctl exit 0
