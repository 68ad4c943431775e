#!/bin/bash
# The Slurm script of cluster/ under a real slurmctld and two slurmd on this machine, from sbatch to
# the table: the time limit comes in mid-sweep, the job puts itself back into the queue and goes on.
# Needs root and Debian's packages slurm-wlm and munge. Run it by `make test-slurm`; minutes.
#
# All of it runs in a network namespace of its own, on addresses that only its loopback has.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)

if [ "${1:-}" != inside ]; then
    for program in slurmctld slurmd munged mungekey sbatch unshare; do
        PATH="$PATH:/usr/sbin" command -v "$program" >/dev/null || {
            echo "$program is needed: apt-get install slurm-wlm munge" >&2
            exit 2
        }
    done
    exec unshare --net bash "$0" inside
fi

export PATH="$root/.venv/bin:$PATH:/usr/sbin"
work=$(mktemp -d /tmp/semisweep-slurm-XXXXXX)
started=()
finish() {
    for process in "${started[@]}"; do kill "$process" 2>/dev/null || true; done
    for process in "${started[@]}"; do wait "$process" 2>/dev/null || true; done
    [ -n "${KEEP:-}" ] || rm -rf "$work"
}
trap finish EXIT
say() { echo "[$(date +%T)] $*"; }

ip link set lo up
ip address add 10.83.0.1/32 dev lo
ip address add 10.83.0.2/32 dev lo

say "configure munge and Slurm in $work"
mkdir -p "$work"/{state,spool-one,spool-two,munge}
chmod 755 "$work"
mungekey --create --keyfile "$work/munge/key"
# As on machines of their own, each daemon has a munged: a second one would refuse what the first
# has seen, as replayed.
for daemon in controller one two; do
    cat >"$work/$daemon.conf" <<EOF
ClusterName=test
SlurmctldHost=$(hostname)(10.83.0.1)
SlurmUser=root
SlurmctldPort=6817
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket=$work/munge/$daemon
DebugFlags=NO_CONF_HASH
StateSaveLocation=$work/state
SlurmdSpoolDir=$work/spool-%n
SlurmctldPidFile=$work/slurmctld.pid
SlurmdPidFile=$work/slurmd-%n.pid
SlurmctldLogFile=$work/slurmctld.log
SlurmdLogFile=$work/slurmd-%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
MpiDefault=none
ReturnToService=2
JobRequeue=1
KillWait=5
SchedulerParameters=sched_interval=5
NodeName=one NodeHostname=$(hostname) NodeAddr=10.83.0.1 Port=6818 CPUs=1 State=UNKNOWN
NodeName=two NodeHostname=$(hostname) NodeAddr=10.83.0.2 Port=6819 CPUs=1 State=UNKNOWN
PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP
EOF
    munged --foreground --force --key-file "$work/munge/key" --socket "$work/munge/$daemon" \
        --pid-file "$work/munge/$daemon.pid" --log-file "$work/munge/$daemon.log" \
        --seed-file "$work/munge/$daemon.seed" >"$work/munge/$daemon.out" 2>&1 &
    started+=($!)
    until [ -S "$work/munge/$daemon" ]; do sleep 0.2; done
done
export SLURM_CONF="$work/controller.conf"
slurmctld -D >"$work/slurmctld.out" 2>&1 &
started+=($!)
for node in one two; do
    slurmd -D -N "$node" -f "$work/$node.conf" >"$work/slurmd-$node.out" 2>&1 &
    started+=($!)
done
for _ in $(seq 60); do
    [ "$(sinfo --noheader --states=idle --format=%D 2>/dev/null)" = 2 ] && break
    sleep 1
done
sinfo --Node --long

say "make the data, and train the same trials here, without Slurm or Ray"
cd "$work"
export PYTHONPATH="$here" OMP_NUM_THREADS=1 STEPS="$work/steps"
mkdir "$STEPS"
STEP_SECONDS=0 python "$here/undisturbed.py" "$work/data" "$work/undisturbed"
expected=$(SEMISWEEP_DATA="$work/data" semisweep table slow_study:slow --store "$work/undisturbed")
rm "$STEPS"/*

say "submit the script of cluster/, which the time limit will interrupt"
sed -e "s|<STUDY>|slow_study:slow|; s|<STORE>|$work/store|; s|<DATA>|$work/data|" \
    "$root/cluster/slurm.sh" >"$work/job.sh"
job=$(sbatch --parsable --nodes=2 --cpus-per-task=1 --gpus-per-node=0 --time=2 \
    --signal=B:TERM@60 --chdir="$work" "$work/job.sh")
while state=$(squeue --noheader --job "$job" --format='%T restarts=%r %M' 2>/dev/null) && [ -n "$state" ]; do
    [ "${state%% *}" = "${last:-}" ] || say "job $job: $state"
    last=${state%% *}
    sleep 2
done
restarts=$(scontrol --oneliner show job "$job" | grep -o 'Restarts=[0-9]*' | cut -d = -f 2)
code=$(scontrol --oneliner show job "$job" | grep -o ' ExitCode=[^ ]*')
say "the job has ended: restarts=$restarts,$code; its log:"
cat "$work/semisweep-$job.log"

say "judge"
python "$here/judge.py" "$work/semisweep-$job.log" "$STEPS" "$restarts" "$expected"
